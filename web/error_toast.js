// Puts the sentence of an error into the frontend's toast, which says by itself only that a node failed.
//
// There is one toast, with the frontend's own title and its button for details. Where it has none, nothing is done.

import { api } from '../../scripts/api.js'

const OURS = 'patchvsr_core.errors.' // what the exception's type contains
const TEXT = '[data-testid="error-overlay-messages"] p'
const LOOK_MS = 50
const LOOKS = 60 // until the toast is there

let sentence = ''

/** As long as the toast is open: the frontend writes its own words again when it counts other errors. */
function keep(mine, looks) {
  if (mine !== sentence) return
  const text = document.querySelector(TEXT)
  if (text && text.textContent !== mine) {
    text.textContent = mine
    text.style.cssText = 'display:block; max-height:40vh; overflow-y:auto' // whole, however long
  }
  if (text || looks > 0) setTimeout(() => keep(mine, text ? 0 : looks - 1), LOOK_MS)
}

api.addEventListener('execution_error', ({ detail }) => {
  if (!detail?.exception_type?.includes(OURS)) return
  sentence = detail.exception_message.trim()
  keep(sentence, LOOKS)
})
api.addEventListener('execution_start', () => (sentence = ''))
