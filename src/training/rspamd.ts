/**
 * A trainer that teaches Rspamd over its controller: Bayes by `learnspam` and `learnham`, and, where flags are configured,
 * its fuzzy storage.
 *
 * - Rspamd relearns by itself when a message is learned the other way; of a fuzzy hash the old flag is taken back first.
 *   A hash is added once only: each time it is added its weight grows.
 * - What is the operator's to mend (password, address, flag) is put off, so that no lesson is lost until somebody reads why.
 * - The words are the reason phrase of the answer, which may hold the sender's Message-ID: a stranger's text.
 * - `fetch` and not node:http, which takes the body that Rspamd sends after a 204 for an error.
 */
import { reasonOf } from './program.ts';
import type { Lesson, Trainer, TrainingClass, TrainingOutcome } from './trainer.ts';

export interface RspamdTrainerOptions {
  readonly name: string;
  /** Of the controller, e.g. http://127.0.0.1:11334. */
  readonly url: string;
  /** Its `enable_password`. */
  readonly password?: string;
  /** false: only the fuzzy storage learns. */
  readonly bayes: boolean;
  /** One classifier by its name; absent: all of them. */
  readonly classifier?: string;
  readonly fuzzy?: {
    readonly spamFlag?: number;
    readonly hamFlag?: number;
    /** How much one lesson counts. */
    readonly weight: number;
  };
  /** For all that one lesson asks of it. */
  readonly timeoutMs: number;
}

interface Answer {
  readonly status: number;
  readonly words: string;
  readonly json: Record<string, unknown>;
}

type Ask = (path: string, headers: Readonly<Record<string, string>>) => Promise<Answer>;

const longestAnswer = 16_384;

export function createRspamdTrainer(options: RspamdTrainerOptions): Trainer {
  const { name, url, password, bayes, classifier, fuzzy, timeoutMs } = options;
  const flagOf = (klass: TrainingClass | undefined): number | undefined =>
    klass && (klass === 'spam' ? fuzzy?.spamFlag : fuzzy?.hamFlag);

  return {
    name,
    async train(lesson, signal) {
      const user = lesson.user === undefined ? undefined : addressOf(lesson.user);
      if (user === null) return { kind: 'refused', said: 'a name with control characters is none to Rspamd' };
      const time = AbortSignal.timeout(timeoutMs);
      const ask = asker(lesson, user, AbortSignal.any([signal, time]));
      try {
        const parts: TrainingOutcome[] = [];
        if (bayes)
          parts.push(
            judge(
              await ask(`learn${lesson.class}`, classifier === undefined ? {} : { Classifier: octets(classifier) }),
            ),
          );
        if (fuzzy && lesson.before !== lesson.class) {
          const [old, flag] = [flagOf(lesson.before), flagOf(lesson.class)];
          if (old !== undefined && !isPutOff(parts)) parts.push(await hash('fuzzydel', old, 'taken from', ask));
          // Last, so that a try that failed half-way and is made again does not add it twice.
          if (flag !== undefined && !isPutOff(parts)) parts.push(await hash('fuzzyadd', flag, 'added to', ask));
        }
        return together(parts);
      } catch (error) {
        if (signal.aborted) return { kind: 'later', said: reasonOf(signal) };
        return { kind: 'later', said: time.aborted ? 'Rspamd took too long' : troubleOf(error) };
      }
    },
  };

  async function hash(path: 'fuzzyadd' | 'fuzzydel', flag: number, words: string, ask: Ask): Promise<TrainingOutcome> {
    const outcome = judge(await ask(path, { Flag: String(flag), Weight: String(fuzzy?.weight) }));
    return outcome.kind === 'learned' ? { kind: 'learned', said: `fuzzy hash ${words} flag ${flag}` } : outcome;
  }

  function asker(lesson: Lesson, user: string | undefined, signal: AbortSignal): Ask {
    // The first Delivered-To of a message says whose Bayes it is (per_user); learning looks at nothing else of ours.
    const above = Buffer.from(user === undefined ? '' : `Delivered-To: ${user}\r\n`);
    async function* body(): AsyncGenerator<Uint8Array> {
      if (above.length > 0) yield above;
      yield* lesson.message();
    }
    const base = url.endsWith('/') ? url : `${url}/`;
    return async (path, headers) => {
      const response = await fetch(new URL(path, base), {
        method: 'POST',
        headers: {
          ...headers,
          ...(password === undefined ? {} : { Password: octets(password) }),
          'Content-Type': 'message/rfc822',
          // Without it the message goes in chunks, which Rspamd does not take.
          'Content-Length': String(above.length + lesson.size),
        },
        body: body(),
        duplex: 'half',
        redirect: 'manual',
        signal,
      });
      const json = parsed(await beginningOf(response));
      const words = [response.statusText, json.error].find((each) => typeof each === 'string' && each !== '');
      return { status: response.status, words: String(words ?? ''), json };
    };
  }
}

/** As UTF-8, one character for one octet: `fetch` takes no others in a header. */
const octets = (text: string): string => Buffer.from(text).toString('latin1');

/** A domain stands for its users: Rspamd, told to tell them apart by domain, reads it off an address. Null: no name at all. */
function addressOf(user: string): string | null {
  if (/\p{Cc}/u.test(user)) return null;
  return user.includes('@') ? user : `postmaster@${user}`;
}

function judge({ status, words, json }: Answer): TrainingOutcome {
  const said = (otherwise: string): string => words || otherwise;
  const mend = (what: string): TrainingOutcome => ({ kind: 'later', said: `${said('refused')} (${status}): ${what}` });
  if (status === 200)
    return json.success === true
      ? { kind: 'learned', said: 'learned' }
      : { kind: 'later', said: "answered, but not as Rspamd does: url has to be that of Rspamd's controller" };
  // Older ones answer 404 to what newer ones answer with 208.
  if (status === 208 || /already (?:been )?learned/i.test(words))
    return { kind: 'known', said: said('already learned') };
  // Of a message too short for a fuzzy hash: nothing is wrong with the flag.
  if (status === 404 && /^no content to generate fuzzy/i.test(words)) return { kind: 'refused', said: words };
  // Its own rule (lua_bayes_learn): what it puts into this class with 95 % certainty it does not learn once more.
  if (/^all learn conditions denied/i.test(words)) return { kind: 'known', said: `sure of it already: ${words}` };
  if (status === 204) return { kind: 'refused', said: said('not learned (204)') };
  if (status === 401 || status === 403) return mend("password has to be Rspamd's enable_password");
  if (status === 404) return mend("url has to be that of Rspamd's controller, and the flags those of its fuzzy_check");
  if (status >= 300 && status < 400)
    return mend("redirects are not followed; url has to be that of Rspamd's controller");
  const passes = status >= 500 || status === 408 || status === 425 || status === 429;
  return { kind: passes ? 'later' : 'refused', said: `${said('not learned')} (${status})` };
}

const isPutOff = (parts: readonly TrainingOutcome[]): boolean => parts.at(-1)?.kind === 'later';

/** Something was learned if any part has learned; the words of all are kept. What is put off comes again as a whole. */
function together(parts: readonly TrainingOutcome[]): TrainingOutcome {
  const later = parts.find(({ kind }) => kind === 'later');
  if (later) return later;
  const kind = (['learned', 'known', 'refused'] as const).find((each) => parts.some((part) => part.kind === each));
  if (kind === undefined)
    return { kind: 'known', said: 'nothing to learn: the fuzzy storage has no flag for this class' };
  return { kind, said: parts.map(({ said }) => said).join('; ') };
}

async function beginningOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop early cancels the rest.
  if (response.body)
    for await (const piece of response.body) {
      pieces.push(piece);
      length += piece.length;
      if (length >= longestAnswer) break;
    }
  return Buffer.concat(pieces).subarray(0, longestAnswer).toString('utf8');
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === 'object' ? { ...value } : {};
  } catch {
    return {};
  }
}

function troubleOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = cause instanceof Error && 'code' in cause ? ` (${cause.code})` : '';
  return `Rspamd could not be asked${code}`;
}
