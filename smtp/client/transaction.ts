/**
 * One mail transaction over an open session: MAIL, RCPT, the message, and one outcome per recipient (RFC 5321 §3.3,
 * RFC 2033 §4.2). Outcomes are values; what is thrown is an error of the message's source or of the caller's signal.
 *
 * Only parameters that the hop has just advertised are sent (INTEGRATIONS §0.10: Dovecot answers 555 to others). The
 * message's octets go out as they are (message-data.ts), 8-bit ones even where 8BITMIME is not offered: recoding them
 * would break signatures, and the hop may still refuse them in its own words.
 */
import { channel } from 'node:diagnostics_channel';
import type { Timeouts } from './handshake.ts';
import { DotStuffer, type Survey } from './message-data.ts';
import { HopFailure, type Reply, type Session } from './session.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = {
  connected: channel('lazaret:delivery.connected'),
  sending: channel('lazaret:delivery.sending'),
  ending: channel('lazaret:delivery.ending'),
  ended: channel('lazaret:delivery.ended'),
  answered: channel('lazaret:delivery.answered'),
};

export interface DeliveryEnvelope {
  /** As received; '' is the null sender. Quoted local parts keep their quotes. */
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly orcpt?: string }[];
  /** It was received with SMTPUTF8 (RFC 6531). */
  readonly smtputf8?: boolean;
  readonly ret?: 'FULL' | 'HDRS';
  readonly envid?: string;
  /** Of the client that first handed it over, lower-case names: told to a hop that offers XFORWARD (Postfix), for its log. */
  readonly client?: Readonly<Record<string, string>>;
  /** RFC 3461 §4.1, for all recipients, where DSN is offered. */
  readonly notify?: 'NEVER' | 'FAILURE';
}

export interface RecipientOutcome {
  readonly recipient: string;
  /** refused: a 5xx. later: a 4xx, or no answer that counts. */
  readonly kind: 'accepted' | 'later' | 'refused';
  /** The hop's own words in one line, or ours where it had none. */
  readonly said: string;
}

/** How far it came, for whoever has to decide whether to try again at once. */
export interface Progress {
  /** The hop has answered MAIL: the connection was alive. */
  mailAnswered: boolean;
  /** All of the message is out: the hop may have accepted it, whatever we hear. */
  ended: boolean;
  /** The hop stopped answering or broke off, and how; undefined: whatever it answered, it answered. */
  silence: string | undefined;
}

export interface TransactionRequest {
  readonly session: Session;
  readonly lmtp: boolean;
  readonly envelope: DeliveryEnvelope;
  readonly survey: Survey;
  readonly source: () => AsyncIterable<Uint8Array>;
  readonly timeouts: Timeouts;
  readonly progress: Progress;
}

/** Afterwards the session is either usable for the next MAIL or failed. */
export async function transact(request: TransactionRequest): Promise<readonly RecipientOutcome[]> {
  const { session, envelope, progress, timeouts } = request;
  const outcomes = new Map<number, Omit<RecipientOutcome, 'recipient'>>();
  const all = envelope.recipients.map((_, index) => index);
  const settle = (indexes: readonly number[], outcome: Omit<RecipientOutcome, 'recipient'>): void => {
    for (const index of indexes) if (!outcomes.has(index)) outcomes.set(index, outcome);
  };
  try {
    const problem = addressProblem(session, envelope);
    if (problem) settle(all, { kind: 'refused', said: problem });
    else {
      steps.connected.publish(envelope);
      await run();
    }
  } catch (error) {
    if (!(error instanceof HopFailure)) {
      // The source failed in the middle: without an end of data the hop has to forget what it got (RFC 5321 §4.1.1.4).
      session.fail('the message could not be read to its end');
      throw error;
    }
    progress.silence = error.message;
    settle(all, { kind: 'later', said: error.message });
  }
  return envelope.recipients.map(({ address }, index) => ({ recipient: address, ...outcomes.get(index)! }));

  async function run(): Promise<void> {
    const mail = `MAIL FROM:<${envelope.sender}>${mailParameters(session, envelope, request.survey)}\r\n`;
    const rcpts = envelope.recipients.map(
      ({ address, orcpt }) => `RCPT TO:<${address}>${rcptParameters(session, envelope, orcpt)}\r\n`,
    );
    for (const line of forwardLines(session, envelope)) {
      session.write(line);
      await answer(timeouts.commandMs, 'XFORWARD'); // whatever it answers: it is for the log only
    }
    const pipelining = session.extensions.has('PIPELINING'); // RFC 2920
    session.together(() => {
      session.write(mail);
      if (pipelining) for (const rcpt of rcpts) session.write(rcpt);
    });
    const mailReply = await answer(timeouts.commandMs, 'MAIL');
    progress.mailAnswered = mailReply.code !== 421; // a kept connection may be told that its time is over
    if (!isPositive(mailReply)) {
      settle(all, asOutcome(mailReply));
      if (pipelining) for (const _ of rcpts) await answer(timeouts.commandMs, 'RCPT');
      return startOver();
    }
    const accepted: number[] = [];
    for (const index of all) {
      if (!pipelining) session.write(rcpts[index]!);
      const reply = await answer(timeouts.commandMs, 'RCPT');
      if (isPositive(reply)) accepted.push(index);
      else settle([index], asOutcome(reply));
    }
    if (accepted.length === 0) return startOver();

    const useBdat = request.survey.needsBdat && session.extensions.has('CHUNKING');
    if (useBdat) {
      session.write(`BDAT ${request.survey.size} LAST\r\n`); // RFC 3030 §2
    } else {
      session.write('DATA\r\n');
      const reply = await answer(timeouts.commandMs, 'DATA');
      if (reply.code !== 354) {
        if (isPositive(reply)) throw broken('the next hop accepted a message that it had not been sent');
        settle(accepted, asOutcome(reply));
        return startOver();
      }
    }
    if (!(await sendMessage(useBdat))) {
      // It answered before it had the whole message: a refusal counts, an acceptance cannot be meant.
      const reply = await answer(timeouts.dataMs, 'the message');
      if (isPositive(reply) || reply.code < 400) throw broken('the next hop answered in the middle of the message');
      settle(accepted, asOutcome(reply));
      session.fail('the message was refused before its end');
      return;
    }
    // LMTP: one reply for each recipient that was accepted, in their order (RFC 2033 §4.2).
    for (const recipients of request.lmtp ? accepted.map((index) => [index]) : [accepted]) {
      const reply = await answer(timeouts.dataMs, 'the message');
      if (reply.code < 400 && !isPositive(reply)) throw broken('the next hop answered something that is not SMTP');
      settle(recipients, asOutcome(reply));
      steps.answered.publish(envelope);
    }
    // A hop that refused before the end may do so again behind it, and that answer must not meet the next message.
    if (accepted.some((index) => outcomes.get(index)?.kind !== 'accepted')) session.quit();
  }

  /** False if the hop answers before the end. */
  async function sendMessage(useBdat: boolean): Promise<boolean> {
    const stuffer = useBdat ? undefined : new DotStuffer();
    steps.sending.publish(envelope);
    for await (const chunk of request.survey.kept ?? request.source()) {
      if (session.hasReply) return false;
      try {
        await session.push(stuffer ? stuffer.push(chunk) : chunk, timeouts.blockMs);
      } catch (error) {
        // It may have said why before it closed.
        if (error instanceof HopFailure && session.hasReply) return false;
        throw error;
      }
    }
    if (session.hasReply) return false;
    steps.ending.publish(envelope);
    progress.ended = true;
    if (stuffer) session.write(Buffer.concat([stuffer.end(), Buffer.from('.\r\n')]));
    else if (request.survey.needsCrlf) session.write('\r\n');
    steps.ended.publish(envelope);
    return true;
  }

  /** A 421 ends the session, whatever it answers (RFC 5321 §3.8); the command still gets it as its answer. */
  async function answer(limitMs: number, what: string): Promise<Reply> {
    const reply = await session.reply(limitMs, what);
    if (reply.code === 421) session.fail(reply.said);
    return reply;
  }

  function broken(why: string): HopFailure {
    session.fail(why);
    return new HopFailure(why);
  }

  /** So that the next MAIL finds no transaction open. */
  async function startOver(): Promise<void> {
    session.write('RSET\r\n');
    try {
      const reply = await session.reply(timeouts.commandMs, 'RSET');
      if (!isPositive(reply)) session.fail(reply.said);
    } catch (error) {
      if (!(error instanceof HopFailure)) throw error; // the recipients' outcomes are known, and the session is over
    }
  }
}

const isPositive = (reply: Reply): boolean => reply.code >= 200 && reply.code < 300;

function asOutcome(reply: Reply): Omit<RecipientOutcome, 'recipient'> {
  return { kind: isPositive(reply) ? 'accepted' : reply.code >= 500 ? 'refused' : 'later', said: reply.said };
}

/** What no server could take, said before anything is sent. */
function addressProblem(session: Session, envelope: DeliveryEnvelope): string | undefined {
  const addresses = [envelope.sender, ...envelope.recipients.map(({ address }) => address)];
  for (const address of addresses) {
    if (/[\0\r\n]/.test(address)) return '553 5.1.3 an address with a line end or a NUL in it cannot be delivered to';
  }
  const needsUtf8 = addresses.some((address) => /[^\x00-\x7f]/.test(address));
  // RFC 6531 §3.2: an internationalized address must not go to a server that does not offer the extension.
  if (needsUtf8 && envelope.smtputf8 && !session.extensions.has('SMTPUTF8')) {
    return '553 5.6.7 the next hop does not offer SMTPUTF8, which an address with letters outside ASCII needs';
  }
  return undefined;
}

function mailParameters(session: Session, envelope: DeliveryEnvelope, survey: Survey): string {
  const offered = session.extensions;
  let text = '';
  if (offered.has('SIZE')) text += ` SIZE=${survey.size}`;
  if (survey.eightBit && offered.has('8BITMIME')) text += ' BODY=8BITMIME';
  if (envelope.smtputf8 && offered.has('SMTPUTF8')) text += ' SMTPUTF8';
  if (offered.has('DSN')) {
    if (envelope.ret) text += ` RET=${envelope.ret}`;
    if (envelope.envid) text += ` ENVID=${asParameter(envelope.envid)}`;
  }
  return text;
}

/** Postfix takes no longer command than 512 octets, and any number of them. */
function forwardLines(session: Session, envelope: DeliveryEnvelope): readonly string[] {
  const offered = (session.extensions.get('XFORWARD') ?? '').toUpperCase().split(' ');
  const lines: string[] = [];
  let line = '';
  for (const [name, value] of Object.entries(envelope.client ?? {})) {
    if (value === '' || !offered.includes(name.toUpperCase())) continue;
    const pair = ` ${name.toUpperCase()}=${asXtext(value)}`;
    if (pair.length > 400) continue;
    if (line.length + pair.length > 500) {
      lines.push(line);
      line = '';
    }
    line ||= 'XFORWARD';
    line += pair;
  }
  if (line !== '') lines.push(line);
  return lines.map((each) => `${each}\r\n`);
}

function rcptParameters(session: Session, envelope: DeliveryEnvelope, orcpt: string | undefined): string {
  if (!session.extensions.has('DSN')) return '';
  let text = '';
  if (envelope.notify) text += ` NOTIFY=${envelope.notify}`;
  if (orcpt && /^[\w-]+;./.test(orcpt)) text += ` ORCPT=${asParameter(orcpt)}`;
  return text;
}

/** The value came as xtext (RFC 3461 §4) and stays so; what could end it is encoded, whoever let it through. */
function asParameter(value: string): string {
  return encode(value, /[^!-<>-~]/g);
}

/** RFC 3461 §4. */
function asXtext(value: string): string {
  return encode(value, /[^!-*,-<>-~]/g);
}

function encode(value: string, what: RegExp): string {
  return Buffer.from(value, 'utf8')
    .toString('latin1')
    .replace(what, (char) => `+${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
