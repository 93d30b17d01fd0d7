// Titles, tags and order of the pack's example workflows in the template browser.
//
// ComfyUI names the templates of a pack by their files, in no order. What web/templates.json says of them is handed to
// the browser in the form in which it lists ComfyUI's own; where that is not possible, the files' names stay.

import { api } from '../../scripts/api.js'

const OURS = new URL('.', import.meta.url)
const PACK = decodeURIComponent(OURS.pathname.split('/').filter(Boolean).at(-1))

const names = api.getWorkflowTemplates?.bind(api)
const index = api.getCoreWorkflowTemplates?.bind(api)
let described = null

/** What stands in the file, if it speaks of every template that the server has. */
async function describe(listed) {
  const templates = await fetch(new URL('templates.json', OURS)).then((answer) => answer.json(), () => [])
  const known = new Set(templates.map(({ name }) => name))
  if (!listed?.length || !listed.every((name) => known.has(name))) return null
  const card = { mediaType: 'image', mediaSubtype: 'jpg' }
  return { moduleName: PACK, title: PACK, templates: templates.map((template) => ({ ...card, ...template })) }
}

if (names && index) {
  api.getWorkflowTemplates = async (...rest) => {
    const found = await names(...rest)
    described = await describe(found?.[PACK])
    return described ? { ...found, [PACK]: [] } : found
  }
  api.getCoreWorkflowTemplates = async (...rest) => {
    const found = await index(...rest)
    return described ? [...(Array.isArray(found) ? found : []), described] : found
  }
}
