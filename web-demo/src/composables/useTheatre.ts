/** Whether the picture takes all the room beside the chat: the visitor's choice, kept over visits. */

import { ref, watch } from 'vue';

const KEY = 'klieg.theatre';

export function useTheatre() {
  const theatre = ref(kept());
  watch(theatre, keep);
  return theatre;
}

function kept(): boolean {
  try {
    return localStorage.getItem(KEY) === 'yes';
  } catch {
    return false; // Where storage is blocked.
  }
}

function keep(theatre: boolean): void {
  try {
    if (theatre) localStorage.setItem(KEY, 'yes');
    else localStorage.removeItem(KEY);
  } catch {
    // Then it lasts as long as the page.
  }
}
