/**
 * Mail handed over by HTTP: what becomes of it, as receive.ts says it for SMTP and LMTP. Answers the port of src/web/intake.ts,
 * which knows how a request comes in, and nothing of mail.
 *
 * What must stay true: nothing is answered as kept before it is; trouble of ours is thrown, and the caller makes a temporary
 * answer of it; the same message again folds, so whoever got no answer may send it again.
 */
import { channel } from 'node:diagnostics_channel';
import { withCrlf } from '#app/files/line-ends';
import type { Disposition } from '#store/model';
import type { Admitted } from '#store/port';
import { type AdmitOptions, admitMessage, type IncomingMail, type Told } from './admit.ts';
import type { FilterSetting, NamedFilter } from './block.ts';
import { BadFacts, type Facts, factsOfFields, factsOfJson, together } from './http-facts.ts';
import { toldByRspamd } from './http-rspamd.ts';
import { classes, directions, PutOff, toldOf } from './http-told.ts';
import { limited, TooLarge } from './receive.ts';
import type { DirectionSetting } from './recipients.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const admittedStep = channel('lazaret:intake.admitted');

/** What stands for one message in a request. Names are in lower case. */
export interface HandedOver {
  /** By which listener it came. */
  readonly listener: string;
  /** Whose manner of saying things: our own, or that of Rspamd's metadata_exporter. */
  readonly manner: 'own' | 'rspamd';
  /** Header fields of this manner, without its prefix. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** What the address says that it was sent to, or who set the sender up. */
  readonly asked: ReadonlyMap<string, readonly string[]>;
  readonly message: AsyncIterable<Uint8Array>;
  /** What the body says besides; to be asked for when `message` has ended. Absent: the body is the message. */
  readonly besides?: () => {
    readonly fields: ReadonlyMap<string, readonly string[]>;
    readonly json: readonly unknown[];
  };
}

export type Outcome =
  /** None for owners who did not want it, or when its sender will come again. */
  | { readonly kind: 'taken'; readonly entries: readonly Admitted[] }
  | { readonly kind: 'too-large' }
  /** A sentence that says what to do. */
  | { readonly kind: 'refused'; readonly why: string };

export interface HttpListenerSetting {
  readonly direction: DirectionSetting;
  readonly filter: FilterSetting;
  /** Further filters whose marks are believed. */
  readonly also?: readonly NamedFilter[];
  readonly disposition?: Disposition;
  readonly class?: 'training';
}

export interface HttpIntakeOptions extends AdmitOptions {
  /** By the name of the listener. */
  readonly listeners: Readonly<Record<string, HttpListenerSetting>>;
  readonly maxMessageBytes: number;
}

/** Takes one message. @throws whatever the store throws, and whatever `message` throws: nothing was kept */
export type HttpIntake = (handedOver: HandedOver) => Promise<Outcome>;

export function createHttpIntake(o: HttpIntakeOptions): HttpIntake {
  return async (handedOver) => {
    const setting = o.listeners[handedOver.listener];
    if (!setting) throw new Error(`There is no listener ${handedOver.listener}`);
    try {
      const mail = incoming(o, handedOver, setting);
      const entries = await admitMessage(o, mail);
      admittedStep.publish(entries);
      return { kind: 'taken', entries };
    } catch (error) {
      if (error instanceof TooLarge) return { kind: 'too-large' };
      if (error instanceof BadFacts) return { kind: 'refused', why: error.message };
      if (!(error instanceof PutOff)) throw error;
      tellPutOff(o, error);
      return { kind: 'taken', entries: [] };
    }
  };
}

/** @throws BadFacts, PutOff: what stands in the header is read before anything else */
function incoming(o: HttpIntakeOptions, h: HandedOver, setting: HttpListenerSetting): IncomingMail {
  const { direction, filter, also, disposition, class: ofListener } = setting;
  const base: IncomingMail = {
    source: notEmpty(withCrlf(limited(h.message, o.maxMessageBytes))),
    sender: '',
    recipients: [],
    params: {},
    direction,
    // What Rspamd found stands beside the message. Within it such fields are a stranger's.
    filter: h.manner === 'rspamd' ? 'none' : filter,
    ...(also ? { also } : {}),
    ...(disposition ? { verdict: { disposition } } : {}),
    ...(ofListener ? { class: ofListener } : {}),
    repeat: true,
  };
  const read = (): Told => {
    const said = onTop(base, told(h));
    // What its milter makes of "reject" Rspamd does not know (discard_on_reject, reject_message): the listener does.
    const isOurs = h.manner === 'rspamd' && disposition;
    const all = isOurs ? { ...said, verdict: { ...said.verdict, disposition } } : said;
    // The filter's block may be going to say it; Rspamd itself may not know.
    const isElsewhere = h.manner === 'rspamd' || base.filter === 'amavis' || base.filter === 'rspamd';
    if (!isElsewhere && all.recipients === undefined) throw nobody();
    return all;
  };
  return h.besides ? { ...base, told: read } : { ...base, ...read() };
}

function told({ manner, fields, asked, besides }: HandedOver): Told {
  const inBody = besides?.();
  const json = inBody?.json.map((value) => factsOfJson(value, 'the JSON')) ?? [];
  const said = [factsOfFields(fields), factsOfFields(inBody?.fields ?? new Map()), ...json];
  const wanted = askedFacts(asked);
  if (manner === 'own') return toldOf(together(wanted, ...said));
  // In a header and in JSON it says the same twice.
  return { ...toldByRspamd(new Map(said.flatMap((facts) => [...facts]))), ...toldOf(wanted) };
}

/** An address is written into logs on its way, so only what names nobody may stand there. */
function askedFacts(asked: HandedOver['asked']): Facts {
  for (const name of asked.keys())
    if (name !== 'class' && name !== 'direction')
      throw new BadFacts(
        `only class (${classes.join(' or ')}) and direction (${directions.join(', ')}) may stand behind the ? of the address, or beside what Rspamd says`,
      );
  return factsOfFields(asked);
}

function onTop(base: IncomingMail, told: Told): Told {
  const { sender = base.sender, recipients = base.recipients } = told;
  const isAscii = /^[\x00-\x7f]*$/.test([sender, ...recipients.map(({ address }) => address)].join(''));
  return {
    ...told,
    params: { ...told.params, ...(isAscii ? {} : { smtputf8: true }) },
    verdict: { ...base.verdict, ...told.verdict },
  };
}

const nobody = () =>
  new BadFacts(
    'whom was it sent to? Say so in X-Lazaret-Rcpt, one address each, or in the field rcpt of the form or JSON',
  );

function tellPutOff(o: HttpIntakeOptions, { recipients, said }: PutOff): void {
  for (const { address } of recipients.length > 0 ? recipients : [{ address: '' }])
    o.onEvent({ kind: 'put-off', owner: o.book.owner(address), ...(said === undefined ? {} : { said }) });
}

async function* notEmpty(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let empty = true;
  for await (const chunk of source) {
    empty &&= chunk.length === 0;
    yield chunk;
  }
  if (empty) throw new BadFacts('there is no message in it');
}
