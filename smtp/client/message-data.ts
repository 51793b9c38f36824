/**
 * A message's octets on their way into DATA or BDAT. What must stay true: the receiver gets exactly the octets it was
 * given, with CRLF behind them if they do not end so, and no octets in a message are ever taken for its end.
 *
 * RFC 5321 §4.5.2 doubles a dot behind CRLF. Some receivers end DATA at other forms as well (SMTP smuggling,
 * CVE-2023-51764/5/6: LF.LF, LF.CRLF, CR.CR …), so a dot that stands alone between bare line ends is doubled too: there,
 * and only there, a strict receiver sees one dot more. docs/decisions/0005-own-smtp-client.md.
 */

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const oneDot = Buffer.from('.');
const twoDots = Buffer.from('..');
const crlf = Buffer.from('\r\n');

/** What has to be known about a message before MAIL is sent. */
export interface Survey {
  /** Octets as they will go out: with the CRLF at the end, without doubled dots. */
  readonly size: number;
  /** Whether CRLF has to be added. */
  readonly needsCrlf: boolean;
  readonly eightBit: boolean;
  /** There is a dot alone between bare line ends: only BDAT carries it unchanged. */
  readonly needsBdat: boolean;
  /** All of the message, if it is small enough to be kept since. */
  readonly kept?: readonly Uint8Array[];
}

/** Reads a message through once. Keeps it when it has at most `keepBytes` octets, so that it need not be read again. */
export async function survey(source: AsyncIterable<Uint8Array>, keepBytes: number): Promise<Survey> {
  const stuffer = new DotStuffer();
  let octets = 0;
  let eightBit = false;
  let kept: Uint8Array[] | undefined = [];
  for await (const chunk of source) {
    octets += chunk.length;
    if (kept && octets <= keepBytes) kept.push(chunk);
    else kept = undefined;
    eightBit ||= hasEightBit(chunk);
    stuffer.push(chunk);
  }
  const needsCrlf = !stuffer.atLineStart;
  stuffer.end();
  return {
    size: octets + (needsCrlf ? 2 : 0),
    needsCrlf,
    eightBit,
    needsBdat: stuffer.stuffedBareLineEnds > 0,
    ...(kept && { kept }),
  };
}

function hasEightBit(chunk: Uint8Array): boolean {
  for (let at = 0; at < chunk.length; at++) if (chunk[at]! > 127) return true;
  return false;
}

/** Doubles dots, chunk by chunk. Chunks may be cut anywhere. */
export class DotStuffer {
  // A message begins at the start of a line.
  #last = LF;
  #lastButOne = CR;
  /** A dot behind a bare line end was the last octet of its chunk: what follows decides whether it is doubled. */
  #held = false;
  #bare = 0;

  /** Whether the octets so far end with CRLF, or there are none. */
  get atLineStart(): boolean {
    return this.#last === LF && this.#lastButOne === CR;
  }

  /** How many dots were doubled that do not stand behind CRLF. */
  get stuffedBareLineEnds(): number {
    return this.#bare;
  }

  push(chunk: Uint8Array): Uint8Array {
    if (chunk.length === 0) return chunk;
    const out: Uint8Array[] = [];
    let from = 0;
    if (this.#held) out.push(this.#release(chunk[0]!));
    for (let at = chunk.indexOf(DOT); at !== -1; at = chunk.indexOf(DOT, at + 1)) {
      const before = at > 0 ? chunk[at - 1]! : this.#last;
      if (before !== LF && before !== CR) continue;
      const beforeThat = at > 1 ? chunk[at - 2]! : at === 1 ? this.#last : this.#lastButOne;
      if (before === CR || beforeThat !== CR) {
        const after = chunk[at + 1];
        if (after === undefined) {
          this.#held = true;
          out.push(chunk.subarray(from, at));
          from = chunk.length;
          break;
        }
        if (after !== CR && after !== LF) continue;
        this.#bare++;
      }
      out.push(chunk.subarray(from, at + 1));
      from = at; // the same dot begins the next piece
    }
    this.#lastButOne = chunk.length > 1 ? chunk[chunk.length - 2]! : this.#last;
    this.#last = chunk[chunk.length - 1]!;
    if (out.length === 0) return chunk;
    out.push(chunk.subarray(from));
    return Buffer.concat(out);
  }

  /** What still has to go out before the final `.` CRLF. */
  end(): Uint8Array {
    const held = this.#held ? this.#release(CR) : Buffer.alloc(0);
    return this.atLineStart ? held : Buffer.concat([held, crlf]);
  }

  #release(next: number): Uint8Array {
    this.#held = false;
    if (next !== CR && next !== LF) return oneDot;
    this.#bare++;
    return twoDots;
  }
}
