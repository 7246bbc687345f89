/** Keys that do something wherever a visitor is on a page, but where they write or are asked something. */

import { onBeforeUnmount, onMounted } from 'vue';

/** What has keys of its own. */
const WRITING = 'input, textarea, select, dialog, [contenteditable]';
/** What the space bar presses. */
const PRESSED = 'button, a, summary, [tabindex]';

/** Calls what stands under the name of a key (`KeyboardEvent.key`, letters small) for as long as the page is open. */
export function useKeys(keys: Readonly<Record<string, () => void>>): void {
  const handle = (event: KeyboardEvent) => {
    const act = actOf(event, keys);
    if (act === undefined || document.querySelector('dialog:modal') !== null) return;
    // The space bar would scroll, and a letter be written into the field that it leads to.
    event.preventDefault();
    act();
  };
  onMounted(() => document.addEventListener('keydown', handle));
  onBeforeUnmount(() => document.removeEventListener('keydown', handle));
}

/** What is looked at of a key that was pressed. */
type Press = Pick<KeyboardEvent, 'key' | 'repeat' | 'ctrlKey' | 'metaKey' | 'altKey' | 'defaultPrevented'> & { target: unknown };

/** Returns what a key does; `undefined` where it belongs to what it was pressed in, or to the browser. */
export function actOf({ key, repeat, ctrlKey, metaKey, altKey, defaultPrevented, target }: Press, keys: Readonly<Record<string, () => void>>): (() => void) | undefined {
  if (repeat || ctrlKey || metaKey || altKey || defaultPrevented) return undefined;
  const within = (selector: string) => (target as Partial<Element> | null)?.closest?.(selector) != null;
  // What a dialog that was closed had in it keeps the focus until the next frame.
  const left = within('dialog:not([open])');
  if (!left && (within(WRITING) || (key === ' ' && within(PRESSED)))) return undefined;
  const name = key.toLowerCase();
  return Object.hasOwn(keys, name) ? keys[name] : undefined;
}
