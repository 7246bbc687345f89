/** What a room sells, and what is bought, as values. */

import { KliegError } from '@klieg/client';
import type { NewProduct, Order, ProductPatch, Products, Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';
import { api } from './useSession.js';
import { describeError } from '../messages/index.js';

/** How long an order is shown. */
const TOAST_MS = 5_000;
/** More at once would hide the picture. */
const MOST_TOASTS = 3;

/** Joins the shop of a room. */
export function useShop(room: Room) {
  const products = shallowRef<Products>({ list: [], featuredId: null });
  /** What was bought just now, oldest first. */
  const toasts = shallowRef<readonly Order[]>([]);
  /** Why something was not done; empty otherwise. */
  const problem = ref('');
  const timers = new Set<ReturnType<typeof setTimeout>>();

  const stops = [
    room.on('products', (value) => { products.value = value; }),
    room.on('order', (order) => {
      toasts.value = [...toasts.value, order].slice(-MOST_TOASTS);
      const timer = setTimeout(() => {
        timers.delete(timer);
        toasts.value = toasts.value.filter((one) => one !== order);
      }, TOAST_MS);
      timers.add(timer);
    }),
  ];
  onScopeDispose(() => {
    for (const stop of stops) stop();
    for (const timer of timers) clearTimeout(timer);
  });

  /** Returns whether it was done. */
  async function attempt(work: () => Promise<unknown>): Promise<boolean> {
    problem.value = '';
    try {
      await work();
      return true;
    } catch (thrown) {
      const error = KliegError.from(thrown);
      // The server says which field cannot be so.
      problem.value = error.code === 'invalid_value' || error.code === 'bad_message' ? error.message : describeError(error);
      return false;
    }
  }

  const add = (product: NewProduct) => attempt(() => api.addProduct(room.id, product));
  const edit = (id: string, patch: ProductPatch) => attempt(() => api.editProduct(room.id, id, patch));
  const remove = (id: string) => attempt(() => api.removeProduct(room.id, id));
  const feature = (productId: string | null) => attempt(() => room.request('product.feature', { productId }));

  /** Moves a product up (-1) or down (1). */
  async function move(id: string, by: -1 | 1): Promise<boolean> {
    const ids = products.value.list.map((product) => product.id);
    const from = ids.indexOf(id);
    const to = from + by;
    if (from < 0 || to < 0 || to >= ids.length) return false;
    [ids[from], ids[to]] = [ids[to]!, ids[from]!];
    const done = await attempt(() => api.arrangeProducts(room.id, ids));
    if (done) {
      // Before the server tells everybody, so that whoever moves it sees it move at once.
      const byId = new Map(products.value.list.map((product) => [product.id, product]));
      products.value = { ...products.value, list: ids.flatMap((one) => byId.get(one) ?? []) };
    }
    return done;
  }

  return { products, toasts, problem, add, edit, remove, feature, move };
}
