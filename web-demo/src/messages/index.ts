/** The catalogue in use; another language is one more file of the same shape. */

import { en } from './en.js';

/** A catalogue. */
export type Messages = typeof en;

/** The sentences of the pages, in the visitor's language. */
export const messages: Messages = en;
