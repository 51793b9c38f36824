/** Answers smtp/receiver.ts: who may hand mail over, and what becomes of it. */
import { channel } from 'node:diagnostics_channel';
import type { NamedFilter } from '#app/lib/filter-names';
import { networks } from '#app/lib/networks';
import type { HandOverClient, Receiver, Reply, Transaction } from '#smtp/receiver';
import { replies, saying } from '#smtp/reply';
import { StoreFull } from '#store/errors';
import type { Disposition, EnvelopeParams } from '#store/model';
import type { Admitted } from '#store/port';
import { type AdmitOptions, admitMessage } from './admit.ts';
import type { FilterSetting } from './block.ts';
import type { Addressee, DirectionSetting } from './recipients.ts';
import { partsSeen, type Reports } from './reports.ts';
import { Spool } from './spool.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const admittedStep = channel('lazaret:intake.admitted');

export interface ListenerSetting {
  readonly direction: DirectionSetting;
  readonly filter: FilterSetting;
  /** Further filters whose marks are believed. */
  readonly also?: readonly NamedFilter[];
  /** What the filter told the sender of all that it hands over here. */
  readonly disposition?: Disposition;
  /** Only copies of mail that was delivered come here. */
  readonly class?: 'training';
}

export interface ReceiverOptions extends AdmitOptions {
  /** Networks of clients that may hand mail over, `10.0.0.0/8` or single addresses. */
  readonly trusted: readonly string[];
  /** By the name of the listener. */
  readonly listeners: Readonly<Record<string, ListenerSetting>>;
  readonly maxMessageBytes: number;
  /** Addresses to which people report what they got. */
  readonly reports?: Reports | undefined;
}

const unnamed: ListenerSetting = { direction: 'auto', filter: 'auto' };

export function createReceiver(o: ReceiverOptions): Receiver {
  const isTrusted = networks(o.trusted);
  return {
    admit(client: HandOverClient): Reply | undefined {
      return isTrusted(client.address) ? undefined : replies.notAllowed;
    },

    async receive(transaction: Transaction, source): Promise<Reply> {
      try {
        const whole = limited(source, o.maxMessageBytes);
        const isReport = transaction.recipients.some(({ address }) => o.reports?.classOf(address));
        return await (isReport ? receiveReport : keep)(o, transaction, whole);
      } catch (error) {
        if (error instanceof TooLarge) return replies.tooLarge;
        if (!(error instanceof StoreFull)) throw error; // 451, said and logged by the connection
        o.log.error({ connection: transaction.client.id, err: error }, 'A message was not kept: the store is full');
        return replies.noSpace;
      }
    },
  };
}

async function keep(
  o: ReceiverOptions,
  { client, sender, params, recipients }: Transaction,
  source: AsyncIterable<Uint8Array>,
): Promise<Reply> {
  const { direction, filter, also, disposition, class: ofListener } = o.listeners[client.listener] ?? unnamed;
  const admitted = await admitMessage(o, {
    source,
    sender,
    recipients: recipients.map(
      ({ address, params: { ORCPT } }): Addressee =>
        typeof ORCPT === 'string' ? { address, orcpt: ORCPT } : { address },
    ),
    params: envelopeParams(params, client),
    direction,
    filter,
    ...(also ? { also } : {}),
    ...(disposition ? { verdict: { disposition } } : {}),
    ...(ofListener ? { class: ofListener } : {}),
    repeat: true,
  });
  admittedStep.publish(admitted);
  return saying(replies.kept, wordsFor(admitted));
}

/** For those it is also addressed to, a report is a message like any other. One answer for all of them. */
async function receiveReport(
  o: ReceiverOptions,
  transaction: Transaction,
  source: AsyncIterable<Uint8Array>,
): Promise<Reply> {
  const parts = partsSeen();
  const spool = await Spool.of(source, parts.see);
  try {
    const classes = new Set<'spam' | 'ham'>();
    const others: Transaction['recipients'][number][] = [];
    for (const recipient of transaction.recipients) {
      const kind = o.reports?.classOf(recipient.address);
      if (kind) classes.add(kind);
      else others.push(recipient);
    }
    let reply: Reply = replies.kept;
    if (others.length > 0) reply = await keep(o, { ...transaction, recipients: others }, spool.read());
    const table = parts.table();
    const [kind, contrary] = classes;
    const taken = await o.reports?.take(spool, table, contrary ? undefined : kind, transaction);
    if (taken && others.length === 0) reply = taken;
    return reply;
  } finally {
    await spool.close();
  }
}

/** What a release needs again (DESIGN §7.6): as received, xtext not decoded. */
function envelopeParams(params: Transaction['params'], client: HandOverClient): EnvelopeParams {
  const { BODY, SMTPUTF8, RET, ENVID } = params;
  const body = typeof BODY === 'string' ? BODY.toUpperCase() : undefined;
  const ret = typeof RET === 'string' ? RET.toUpperCase() : undefined;
  return {
    ...(body === '7BIT' || body === '8BITMIME' ? { body } : {}),
    ...(SMTPUTF8 ? { smtputf8: true } : {}),
    ...(ret === 'FULL' || ret === 'HDRS' ? { ret } : {}),
    ...(typeof ENVID === 'string' ? { envid: ENVID } : {}),
    ...(Object.keys(client.forwarded).length > 0 ? { client: client.forwarded } : {}),
  };
}

export class TooLarge extends Error {}

/** @throws TooLarge */
export async function* limited(source: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array, void> {
  let octets = 0;
  for await (const chunk of source) {
    octets += chunk.length;
    if (octets > limit) throw new TooLarge('The message is larger than intake.maxMessageBytes');
    yield chunk;
  }
}

/** For the MTA's log: under which numbers the message is found here. */
function wordsFor(admitted: readonly Admitted[]): string {
  if (admitted.length === 0) return 'Ok: nothing of it is to be kept';
  const some = admitted.slice(0, 5).map(({ entryId, how }) => (how === 'repeat' ? `${entryId} (again)` : `${entryId}`));
  return `Ok: kept as ${some.join(', ')}${admitted.length > 5 ? ', ...' : ''}`;
}
