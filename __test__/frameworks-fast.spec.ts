/** Frameworks answer unchanged with the light `Response` as the global one, as on the command line. */
import { installFetchGlobals } from '../dist/fetch/globals.js'

// Before they are loaded: some keep the class they find then.
installFetchGlobals()
const { testFrameworks } = await import('./fixtures/framework-cases.ts')

testFrameworks({ interface: 'fetch', fastResponse: true })
