/** What those who keep order see and do. */

import { KliegError } from '@klieg/client';
import type { ChatMessage, ChatSettingsPatch, HeldMessage, Limit, ModeratorSettings, Report, Role, Room, User, You } from '@klieg/client';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';
import { api } from './useSession.js';
import { describeError } from '../messages/index.js';

/** Minutes for which somebody is muted at the press of a button. */
export const MUTE_MINUTES = 10;

/** What a moderator, or for the last two anybody who writes, can do with a line. */
export type LineDeed = 'delete' | 'pin' | 'unpin' | 'reply' | 'report' | PersonDeed;

/** What somebody may not do: write, or enter. */
export type LimitKind = 'mutes' | 'bans';

/** What a moderator can do to somebody. */
export type PersonDeed = 'mute' | 'kick' | 'ban' | 'promote';

function isPersonDeed(deed: LineDeed): deed is PersonDeed {
  return ['mute', 'kick', 'ban', 'promote'].includes(deed);
}

/** Returns what one may do to another, by their roles. */
export function deedsTo(you: You, other: { id: string; role: Role }): PersonDeed[] {
  const own = other.id === you.id;
  const host = you.role === 'owner' || you.role === 'admin';
  const stands = !own && (host || !['owner', 'admin', 'cohost', 'moderator'].includes(other.role));
  return [
    ...you.grants.moderate && stands ? ['mute', 'kick', 'ban'] as const : [],
    ...host && !own && ['viewer', 'guest'].includes(other.role) ? ['promote'] as const : [],
  ];
}

/** Keeps order in a room, as far as the visitor may. */
export function useModeration(room: Room, you: Ref<You | undefined>) {
  const held = shallowRef<readonly HeldMessage[]>([]);
  const reports = shallowRef<readonly Report[]>([]);
  const settings = shallowRef<ModeratorSettings>();
  /** Who may not write, and who may not enter. */
  const limits = shallowRef<Record<LimitKind, readonly Limit[]>>({ mutes: [], bans: [] });
  /** What was done or not done last, in words; empty before. */
  const notice = ref('');

  const stops = [
    room.on('held', (message) => { held.value = [...without(held.value, 'heldId', message.heldId), message]; }),
    room.on('reviewed', ({ heldId }) => { held.value = without(held.value, 'heldId', heldId); }),
    room.on('report', (report) => { reports.value = [report, ...reports.value]; }),
    room.on('resolved', ({ reportId }) => { reports.value = without(reports.value, 'reportId', reportId); }),
    room.on('chatSettings', () => { if (you.value?.grants.moderate) void attempt(readSettings); }),
  ];
  onScopeDispose(() => { for (const stop of stops) stop(); });
  watch(() => you.value?.grants.moderate, (moderates) => { if (moderates) void refresh(); }, { immediate: true });

  /** Reads what waits. What is told meanwhile is newer than the answer, and stays. */
  async function refresh(): Promise<void> {
    await attempt(async () => {
      const [waiting, told] = await Promise.all([api.held(room.id), api.reports(room.id), readSettings()]);
      held.value = [...waiting.items.filter(({ heldId }) => !held.value.some((one) => one.heldId === heldId)), ...held.value];
      reports.value = [...reports.value, ...told.items.filter(({ reportId }) => !reports.value.some((one) => one.reportId === reportId))];
    });
  }

  async function readSettings(): Promise<void> {
    settings.value = await api.chatSettings(room.id);
  }

  async function act(deed: LineDeed, { messageId, from }: ChatMessage): Promise<void> {
    if (isPersonDeed(deed)) return await actOn(deed, from);
    await attempt(async () => {
      switch (deed) {
        case 'delete': return room.request('chat.delete', { messageId });
        case 'pin': return room.request('chat.pin', { messageId });
        case 'unpin': return room.request('chat.pin', { messageId: null });
        case 'report': return room.request('chat.report', { messageId });
        case 'reply': return undefined;
      }
    });
  }

  async function actOn(deed: PersonDeed, { id, name }: User): Promise<void> {
    const person = { identity: id, name };
    await attempt(async () => {
      switch (deed) {
        case 'mute': return room.request('mod.mute', { ...person, seconds: MUTE_MINUTES * 60 });
        case 'kick': return room.request('mod.kick', { identity: id });
        case 'ban': return room.request('mod.ban', person);
        case 'promote': return room.request('mod.role', { ...person, role: 'moderator' });
      }
    });
  }

  async function readLimits(): Promise<void> {
    await attempt(async () => {
      const [mutes, bans] = await Promise.all([api.limits(room.id, 'mutes'), api.limits(room.id, 'bans')]);
      const now = Date.now();
      const holds = ({ until }: Limit) => until === undefined || Date.parse(until) > now;
      limits.value = { mutes: mutes.items.filter(holds), bans: bans.items.filter(holds) };
    });
  }

  async function lift(kind: LimitKind, identity: string): Promise<void> {
    await attempt(async () => {
      await api.lift(room.id, kind, identity);
      limits.value = { ...limits.value, [kind]: without(limits.value[kind], 'id', identity) };
    });
  }

  const review = (heldId: string, approve: boolean) => attempt(() => room.request('mod.review', { heldId, approve }));
  const resolve = (reportId: string) => attempt(() => api.resolve(room.id, reportId));
  const set = (patch: ChatSettingsPatch) => attempt(() => api.setChat(room.id, patch));

  async function attempt(work: () => Promise<unknown>): Promise<void> {
    notice.value = '';
    try {
      await work();
    } catch (thrown) {
      notice.value = describeError(KliegError.from(thrown));
    }
  }

  return { held, reports, settings, notice, act, actOn, review, resolve, set, limits, lift, readLimits };
}

function without<Item, Key extends keyof Item>(items: readonly Item[], key: Key, value: Item[Key]): Item[] {
  return items.filter((item) => item[key] !== value);
}
