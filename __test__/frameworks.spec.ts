/** Frameworks answer unchanged while the platform's `Response` stays the global one, as in a library. */
import { testFrameworks } from './fixtures/framework-cases.ts'

testFrameworks({ interface: 'fetch' })
