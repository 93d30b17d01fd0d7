// What the scripts of the pack say, in the language of the page.

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

const ENGLISH = {
  no_clip: 'Connect a clip to see the plan.',
  no_vae: 'Connect a VAE to see the plan.',
  no_picture: 'This file has no picture.',
  not_run: 'Queue once to see the plan.',
  restart: 'Start ComfyUI again to see the plan here.',
  no_answer: 'ComfyUI does not answer.',
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

let told = '' // what the server was told last

// Messages are made on the server, which cannot know in which language this page is read.
async function tellLanguage() {
  const message = JSON.stringify({ page: api.clientId ?? '', language: language() })
  if (message === told) return
  told = message
  await api.fetchApi('/patchvsr/language', { method: 'POST', body: message }).catch(() => (told = ''))
}

app.registerExtension({
  name: 'PatchVSR.Words',
  async setup() {
    api.addEventListener('status', tellLanguage) // first when the page gets its id, then with every change of the queue
    api.addEventListener('reconnected', () => {
      told = '' // a server that was started again knows nothing
      tellLanguage()
    })
    app.ui?.settings?.addEventListener?.('Comfy.Locale.change', tellLanguage)
    tellLanguage()
    translations = await api.fetchApi('/i18n').then((answer) => answer.json(), () => ({}))
  }
})
