/**
 * A Hono application in TypeScript: JSON, parameters, middleware, streaming. `npm start` serves it.
 *
 *     gneiss examples/hono.ts
 *     curl http://127.0.0.1:8000/hello/you
 *     curl --json '{"title": "Write a server"}' http://127.0.0.1:8000/notes
 *     curl -N http://127.0.0.1:8000/count/5
 */
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { streamText } from 'hono/streaming'

interface Note {
  readonly id: number
  readonly title: string
}

const notes: Note[] = []
const routes = ['GET /hello/:name', 'GET /notes', 'POST /notes', 'GET /count/:to']

export const app: Hono = new Hono()

app.use(async (context, next) => {
  const begin = performance.now()
  await next()
  context.header('server-timing', `app;dur=${(performance.now() - begin).toFixed(3)}`)
})

app.get('/', (context) => context.json({ routes }))

app.get('/hello/:name', (context) =>
  context.json({ hello: context.req.param('name'), agent: context.req.header('user-agent') ?? null }),
)

app.get('/notes', (context) => context.json(notes))

app.post('/notes', async (context) => {
  const { title } = await context.req.json<Partial<Note>>()
  if (typeof title !== 'string') throw new HTTPException(400, { message: 'a note needs a title' })
  const note: Note = { id: notes.length + 1, title }
  notes.push(note)
  return context.json(note, 201)
})

app.get('/count/:to', (context) =>
  streamText(context, async (stream) => {
    const to = Number(context.req.param('to'))
    for (let number = 1; number <= to; number++) {
      await stream.writeln(String(number))
      await stream.sleep(Number(context.req.query('interval') ?? 100))
    }
  }),
)
