/** What those who look after a server see and do: its rooms, whom it tells, the server itself. */

import { KliegError } from '@klieg/client';
import type { Delivery, DeliveryStatus, NewWebhook, Page, RoomInfo, RoomStatus, ServerNode, Visibility, Webhook } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';
import { api } from './useSession.js';

const AT_ONCE = 30;

/** Which rooms to list; what is empty does not narrow. */
export interface RoomFilter {
  q: string;
  status: RoomStatus | '';
  visibility: Visibility | '';
}

const hook = (id: string) => `webhooks/${encodeURIComponent(id)}`;

/** The routes for admins. */
export const admin = {
  nodes: () => api.request<Page<ServerNode>>('GET', 'admin/nodes'),
  drain: (drains: boolean) => api.request<ServerNode>(drains ? 'POST' : 'DELETE', 'admin/drain'),
  rooms: (filter: RoomFilter, cursor?: string) => api.request<Page<RoomInfo>>('GET', `admin/rooms?${query({ ...filter, cursor })}`),
  endRoom: (id: string) => api.request<void>('POST', `rooms/${encodeURIComponent(id)}/end`),
  webhooks: () => api.request<Page<Webhook>>('GET', 'webhooks'),
  /** The secret is shown by this answer and by none after it. */
  addWebhook: (webhook: NewWebhook) => api.request<Webhook & { secret?: string | null }>('POST', 'webhooks', webhook),
  enable: (id: string, enabled: boolean) => api.request<Webhook>('PATCH', hook(id), { enabled }),
  removeWebhook: (id: string) => api.request<void>('DELETE', hook(id)),
  newSecret: (id: string) => api.request<{ secret?: string | null }>('POST', `${hook(id)}/secret`),
  test: (id: string) => api.request<void>('POST', `${hook(id)}/test`),
  deliveries: (id: string, status: DeliveryStatus | '', cursor?: string) => api.request<Page<Delivery>>('GET', `${hook(id)}/deliveries?${query({ status, cursor })}`),
  replay: (id: string, deliveryId: string) => api.request<void>('POST', `${hook(id)}/deliveries/${encodeURIComponent(deliveryId)}/replay`),
};

function query(values: Record<string, string | undefined>): URLSearchParams {
  const given = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '');
  return new URLSearchParams([...given, ['limit', String(AT_ONCE)]]);
}

/** Reads a list page by page. */
export function usePages<Item>(read: (cursor?: string) => Promise<Page<Item>>) {
  /** `undefined` until the first answer. */
  const items = shallowRef<Item[]>();
  /** Where the next page begins; `undefined` on the last one. */
  const next = ref<string>();
  const error = shallowRef<KliegError>();
  let latest = 0;

  async function load(cursor?: string): Promise<void> {
    const request = ++latest;
    try {
      const page = await read(cursor);
      if (request !== latest) return;
      items.value = cursor === undefined ? page.items : [...items.value ?? [], ...page.items];
      next.value = page.nextCursor ?? undefined;
      error.value = undefined;
    } catch (thrown) {
      if (request === latest) error.value = KliegError.from(thrown);
    }
  }

  onScopeDispose(() => { latest++; });
  return { items, next, error, refresh: () => load(), more: () => load(next.value) };
}

/** Does one thing at a time, and says what went wrong with the last one. */
export function useDeeds(describe: (error: KliegError) => string) {
  const busy = ref(false);
  const problem = ref('');

  /** Resolves with what came of it; `undefined` where it failed. */
  async function attempt<Result>(deed: () => Promise<Result>): Promise<Result | undefined> {
    busy.value = true;
    problem.value = '';
    try {
      return await deed();
    } catch (thrown) {
      problem.value = describe(KliegError.from(thrown));
      return undefined;
    } finally {
      busy.value = false;
    }
  }

  return { busy, problem, attempt };
}
