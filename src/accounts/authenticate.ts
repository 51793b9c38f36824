/**
 * Is this password right? What must stay true:
 * - An unknown user and a wrong password get the same answer after the same work: one hash, the same delays.
 * - After failures the next try for that user from that address waits, twice as long each time, and so does the next from
 *   any address that the user never logged in from: closing the connection early gains a guesser nothing, and a guesser
 *   elsewhere does not keep a user out of where he always is.
 * - Tries for one user go one after the other. Many connections at once are no way around the delay, and the five that a
 *   mail client opens at its start cost one hash together.
 * - A right password is remembered for some minutes, as a keyed digest under a key that lives as long as the process, and
 *   only as long as the stored hash is the same. Clients log in often; a hash is made to be slow.
 * - All memory is bounded, whoever knocks.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { Lru } from '#app/lib/lru';
import type { Account } from '#store/model';
import type { Store } from '#store/port';
import { type Delays, everywhere, type Failures, LocalFailures, pair } from './limits.ts';
import { type NameRules, parseAccountName } from './names.ts';
import { hashPassword, verifyPassword } from './passwords.ts';
import { Gate, Turns } from './turns.ts';

export { Overloaded } from './turns.ts';

export interface AuthenticatorOptions {
  readonly store: Pick<Store, 'accounts'>;
  readonly book: NameRules;
  /** The login name of the account that sees everything. */
  readonly globalName: string;
  /** Growing from the first to the second; 0: none. */
  readonly loginFailures: Delays;
  /** Who remembers them; by default this process, for itself. */
  readonly failures?: Failures;
  /** Tests move time. */
  readonly now?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
}

const remembered = 10_000;
const rememberMs = 5 * 60_000;
/** Half of libuv's threads: the other half reads files and resolves names. */
const hashesAtOnce = 2;
const maxWaiting = 1000;
/** A mail client opens a handful of connections; what waits beyond this for one user is a flood. */
const maxWaitingPerUser = 64;

interface Success {
  readonly passwordHash: string;
  readonly digest: Buffer;
  readonly until: number;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;
  readonly #failures: Failures;
  readonly #successes = new Lru<Success>(remembered);
  readonly #turns = new Turns(maxWaitingPerUser);
  readonly #hashes = new Gate(hashesAtOnce, maxWaiting);
  readonly #key = randomBytes(32);
  /** What an unknown user's password is compared with. */
  readonly #nobody = hashPassword(randomBytes(16).toString('hex'));

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sleep = options.sleep ?? sleepUnheld;
    this.#failures = options.failures ?? new LocalFailures(options.loginFailures, this.#now);
  }

  /**
   * The account, or undefined after the same time for an unknown user and a wrong password. Delays are inside.
   * @throws Overloaded  too many are waiting (temporary); what the store throws
   */
  async verify(user: string, password: string, address: string): Promise<Account | undefined> {
    const { store, book, globalName } = this.#options;
    const parsed = parseAccountName(user, book, globalName);
    const name = parsed?.name ?? user.slice(0, 512).toLowerCase();
    const found = await store.accounts.get(name);
    const account = parsed && found;
    if (account && this.#remembers(account.name, account.passwordHash, password)) return plain(account);

    const attempt = { user: name, address };
    const { known } = await this.#failures.standing(attempt);
    let delay = 0;
    const right = await this.#turns.run(known ? pair(attempt) : everywhere(attempt), async () => {
      const { waitMs } = await this.#failures.standing(attempt);
      if (waitMs > 0) await this.#sleep(waitMs);
      // Whoever came before may just have shown the same password to be right.
      if (account && this.#remembers(account.name, account.passwordHash, password)) return true;
      const right = await this.#hashes.run(() => this.#matches(account?.passwordHash, password));
      if (right && account) {
        this.#remember(account.name, account.passwordHash, password);
        await this.#failures.forgive(attempt);
        return true;
      }
      delay = await this.#failures.failed(attempt);
      return false;
    });
    if (right && account) return plain(account);
    if (delay > 0) await this.#sleep(delay);
    return undefined;
  }

  /** What is held in memory, for tests and metrics. */
  get held(): { readonly failures: number; readonly successes: number; readonly waiting: number } {
    return { failures: this.#failures.size, successes: this.#successes.size, waiting: this.#turns.size };
  }

  async #matches(passwordHash: string | undefined, password: string): Promise<boolean> {
    const right = await verifyPassword(passwordHash ?? (await this.#nobody), password);
    return right && passwordHash !== undefined && password !== '';
  }

  #digest(name: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${name}\n${password}`).digest();
  }

  #remember(name: string, passwordHash: string, password: string): void {
    const digest = this.#digest(name, password);
    this.#successes.set(name, { passwordHash, digest, until: this.#now() + rememberMs });
  }

  #remembers(name: string, passwordHash: string, password: string): boolean {
    const success = this.#successes.get(name);
    if (!success) return false;
    if (success.passwordHash !== passwordHash || success.until < this.#now()) {
      this.#successes.delete(name);
      return false;
    }
    return timingSafeEqual(success.digest, this.#digest(name, password));
  }
}

/** Never past this file: the hash. */
function plain({ name, scope, person, createdAt, passwordChangedAt }: Account): Account {
  return { name, scope, ...(person === undefined ? {} : { person }), createdAt, passwordChangedAt };
}

/** A stopping server does not wait for guessers. */
const sleepUnheld = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
