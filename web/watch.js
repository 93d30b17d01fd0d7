// One timer for all that follows widgets and links: the frontend tells of some of their changes only.

const LOOK_MS = 200
const looks = []

/** Call `look` every now and then; it may return a promise of what the server answers. */
export function watch(look) {
  if (looks.push(look) === 1) setInterval(lookNow, LOOK_MS)
}

/** Look at once; resolves when everything that was asked meanwhile has been answered. */
export function lookNow() {
  return Promise.all(looks.map(async (look) => look())) // one that fails does not keep the others from looking
}
