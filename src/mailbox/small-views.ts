/** Views that no store keeps: the empty one of an action folder, and INBOX with its one message. */
import type { Level, ModSeq, Uid } from '#store/model';
import { LoadedView } from './loaded-view.ts';

export function emptyView(top: { readonly uidNext: number; readonly highestModSeq: number }): LoadedView {
  return smallView([], { ...top, level: 'recipient' });
}

export interface SmallMessage {
  readonly uid: number;
  readonly size: number;
  readonly internalDate: number;
  readonly modSeq: number;
  readonly flags: string;
}

export function smallView(
  messages: readonly SmallMessage[],
  top: { readonly uidNext: number; readonly highestModSeq: number; readonly level: Level },
): LoadedView {
  return new LoadedView(
    {
      uids: Uint32Array.from(messages, ({ uid }) => uid),
      entryIds: new Uint32Array(messages.length),
      messageIds: new Float64Array(messages.length),
      sizes: Uint32Array.from(messages, ({ size }) => size),
      internalDates: Float64Array.from(messages, ({ internalDate }) => internalDate),
      modSeqs: Float64Array.from(messages, ({ modSeq }) => modSeq),
      flagSet: Uint32Array.from(messages.keys()),
      flagSets: messages.map(({ flags }) => flags),
      uidNext: top.uidNext as Uid,
      highestModSeq: top.highestModSeq as ModSeq,
      asOf: top.highestModSeq as ModSeq,
    },
    top.level,
  );
}
