// What the scripts of the pack say, in the language of the page.

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

const ENGLISH = {
  no_clip: 'Connect a clip to see the plan.',
  no_vae: 'Connect a VAE to see the plan.',
  no_picture: 'This file has no picture.',
  not_run: 'Queue once to see the plan.',
  show_advanced: 'Show advanced inputs',
  hide_advanced: 'Hide advanced inputs'
}
let translations = {} // by language, as ComfyUI serves them

export function language() {
  return app.extensionManager?.setting?.get?.('Comfy.Locale') ?? 'en'
}

export function words() {
  return { ...ENGLISH, ...translations[language()]?.patchvsr }
}

app.registerExtension({
  name: 'PatchVSR.Words',
  async setup() {
    translations = await api.fetchApi('/i18n').then((answer) => answer.json(), () => ({}))
  }
})
