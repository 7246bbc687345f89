/** What `<klieg-player>` is made of: its elements and how they look. */

const PATHS = {
  soundOn: 'M4 9.5v5h3.5l4.5 4v-13l-4.500 4H4Zm11.500-.700a4.500 4.500 0 0 1 0 6.400m2.700-9.100a8.300 8.300 0 0 1 0 11.800',
  soundOff: 'M4 9.500v5h3.500l4.500 4v-13l-4.500 4H4Zm12 0 5 5m0-5-5 5',
  fullscreen: 'M4 9V5a1 1 0 0 1 1-1h4m6 0h4a1 1 0 0 1 1 1v4m0 6v4a1 1 0 0 1-1 1h-4m-6 0H5a1 1 0 0 1-1-1v-4',
  exitFullscreen: 'M9 4v4a1 1 0 0 1-1 1H4m16 0h-4a1 1 0 0 1-1-1V4m0 16v-4a1 1 0 0 1 1-1h4M4 15h4a1 1 0 0 1 1 1v4',
} as const;

const SVG = 'http://www.w3.org/2000/svg';

/** Given by a script, it needs no leave of the page's policy for styles. Sites change colours by `--klieg-accent` and by the parts. */
export const LOOK = `
:host { position: relative; display: block; overflow: hidden; aspect-ratio: 16 / 9; background: #0c0a08; color: #fff; font: 500 15px/1.4 system-ui, sans-serif; }
:host([hidden]), [hidden] { display: none !important; }
video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; opacity: .45; }
:host([playing]) video { opacity: 1; }
.badge { position: absolute; top: 12px; left: 12px; padding: 2px 8px; border-radius: 6px; background: #d92d27; font-size: 11px; font-weight: 700; letter-spacing: .05em; line-height: 20px; }
:host(:not([playing])) .badge { display: none; }
.line { position: absolute; inset: 0; display: grid; place-items: center; margin: 0; padding: 16px 24px 56px; text-align: center; text-wrap: balance; }
:host([playing]) .line { clip-path: inset(50%); }
button { all: unset; box-sizing: border-box; cursor: pointer; }
button:focus-visible { outline: 3px solid var(--klieg-accent, #ffb545); outline-offset: 2px; }
.unmute { position: absolute; top: 50%; left: 50%; height: 48px; padding: 0 24px; border-radius: 24px; background: rgb(0 0 0 / .72); box-shadow: 0 0 0 1px rgb(255 255 255 / .2); font-weight: 600; line-height: 48px; white-space: nowrap; transform: translate(-50%, -50%); }
.unmute:hover { background: #000; }
.controls { position: absolute; right: 4px; bottom: 4px; display: flex; }
.sound, .fullscreen { display: grid; width: 44px; height: 44px; place-items: center; border-radius: 10px; filter: drop-shadow(0 0 3px #000); }
.sound:hover, .fullscreen:hover { background: rgb(255 255 255 / .15); }
svg { width: 22px; height: 22px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
`;

/** Makes an element with attributes. */
export function element<Name extends keyof HTMLElementTagNameMap>(name: Name, attributes: Record<string, string>): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Makes a button that sites can find by its part. */
export function button(name: string, press: () => void): HTMLButtonElement {
  const made = element('button', { type: 'button', part: `button ${name}`, class: name });
  made.addEventListener('click', press);
  return made;
}

/** Gives a button a picture, and the words of what it does. */
export function icon(target: HTMLButtonElement, name: keyof typeof PATHS, words: string): void {
  if (target.title === words) return;
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  target.replaceChildren(svg);
  target.setAttribute('aria-label', words);
  target.title = words;
}
