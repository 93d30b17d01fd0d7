// Which family of models a file belongs to, guessed from its name before anything ran.
//
// After a run the planner says it itself; patchvsr_core/stages/families.py has the table.

const BY_NAME = [
  [/seedvr2|ema_vae/i, 'seedvr2'],
  [/wan.?2[._]?2.*vae|ti2v.*5b/i, 'wan22'],
  [/ltx/i, 'ltx'],
  [/hunyuan/i, 'hunyuan'],
  [/flux|^ae\b/i, 'flux'],
  [/qwen/i, 'qwen'],
  [/sd_?xl|xl_base/i, 'sdxl'],
  [/v1-5|sd-?1[._]?5|vae-ft/i, 'sd15'],
]

/** The family of a file of a VAE or of a checkpoint; 'wan' where nothing tells. */
export function familyOfFile(path) {
  const name = String(path ?? '').split(/[\\/]/).pop()
  return BY_NAME.find(([pattern]) => pattern.test(name))?.[1] ?? 'wan'
}
