// A rival in several processes: `node cluster.js SERVER.js WORKERS PORT APP`
import cluster from 'node:cluster'

const [file, workers, ...args] = process.argv.slice(2)
cluster.setupPrimary({ exec: new URL(file, import.meta.url).pathname, args })
for (let number = 0; number < Number(workers); number++) cluster.fork()
process.once('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill()
  cluster.once('exit', () => process.exit(0))
})
