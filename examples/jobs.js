/**
 * A worker that does jobs beside its requests: a worker class is called around the server, and the application finds
 * what it has prepared.
 *
 *     gneiss examples/jobs.js --worker-class examples/jobs.js#JobWorker
 *     curl -d 'write a letter' http://127.0.0.1:8000/jobs
 *     curl http://127.0.0.1:8000/jobs
 */
import { setTimeout as sleep } from 'node:timers/promises'

const queue = { waiting: /** @type {string[]} */ ([]), done: 0, isOpen: false }

/**
 * @typedef {import('gneiss').CustomWorker} CustomWorker
 * @implements {CustomWorker}
 */
export class JobWorker {
  #working = Promise.resolve()

  /** @param {import('gneiss').WorkerContext} context */
  constructor({ worker, server }) {
    this.number = worker.number
    this.log = server.log
  }

  // Nothing of the application is there yet: a place for a connection to the broker.
  async init() {
    this.log.info(`worker ${this.number} is at the broker`)
  }

  // The application has started, and requests come in a moment.
  start() {
    queue.isOpen = true
    this.#working = this.#work()
  }

  // Requests are still answered; the jobs that were taken are done, and no more are taken.
  async drain() {
    queue.isOpen = false
    await this.#working
  }

  // Nothing is left to do.
  stop() {
    this.log.info(`worker ${this.number} has done ${queue.done} jobs`)
  }

  async #work() {
    while (queue.isOpen || queue.waiting.length > 0) {
      const job = queue.waiting.shift()
      if (job !== undefined) queue.done++
      await sleep(10)
    }
  }
}

/** @param {Request} request */
export async function fetch(request) {
  if (request.method !== 'POST') return Response.json({ waiting: queue.waiting.length, done: queue.done })
  if (!queue.isOpen) return new Response('no jobs are taken any more\n', { status: 503 })
  queue.waiting.push(await request.text())
  return new Response(null, { status: 202 })
}
