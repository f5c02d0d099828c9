/** What somebody has probably meant. */
import { describe, expect, test } from 'vitest'

import { nearestName } from '../dist/suggest.js'

describe('the nearest name', () => {
  test.each([
    ['wrokers', 'workers'],
    ['worker', 'workers'],
    ['WORKERS', 'workers'],
    ['bnid', 'bind'],
    ['x', undefined],
    ['something else', undefined],
  ])('of %s is %s', (name, expected) => {
    expect(nearestName(name, ['workers', 'bind', 'backlog'])).toBe(expected)
  })
})
