/** What the service manager is told, where there is one (systemd's protocol). */
import { native } from '../native.ts'

/** The end of a conversation with the service manager. Does nothing without one. */
export class ServiceManager {
  readonly #socket: string | undefined
  #watchdog: NodeJS.Timeout | undefined = undefined

  /** Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, and removes them: they are not meant for workers. */
  constructor(environment: NodeJS.ProcessEnv) {
    this.#socket = environment['NOTIFY_SOCKET'] || undefined
    const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: pid } = environment
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name]
    const period = Number(microseconds) / 1000
    const isForUs = pid === undefined || Number(pid) === process.pid
    if (this.#socket === undefined || !(period > 0) || !isForUs) return
    // A timer of the loop: it says that the loop turns, and nothing is said when it does not.
    this.#watchdog = setInterval(() => this.#say('WATCHDOG=1'), period / 2)
    this.#watchdog.unref()
  }

  /** Connections are accepted. */
  ready(status: string): void {
    this.#say(`READY=1\nSTATUS=${status}\nMAINPID=${process.pid}`)
  }

  /** One line for people. */
  status(status: string): void {
    this.#say(`STATUS=${status}`)
  }

  /** The stop has begun. */
  stopping(): void {
    this.#say('STOPPING=1\nSTATUS=stopping')
  }

  /** No more signs of life. */
  end(): void {
    clearInterval(this.#watchdog)
  }

  #say(text: string): void {
    if (this.#socket !== undefined) native.notifyService(this.#socket, text)
  }
}
