/**
 * Who wants copies of delivered mail that a filter was unsure about, in `Training Requested` (IN-7). Nobody who was not
 * switched on gets any: by the settings file, or for a domain or an address by somebody who said so while the server runs,
 * which is kept in the store and counts on every node at once.
 *
 * The nearest word counts: about an address before one about its domain, and for the same name the store's before the file's.
 */
import { parseAccountName } from '#app/accounts/names';
import type { Settings } from '#store/port';
import { type AddressBook, splitAddress } from './addresses.ts';

export interface TrainingRequestedRules {
  readonly default: 'on' | 'off';
  /** Domains and addresses, as written. */
  readonly on: readonly string[];
  readonly keepFor: number;
}

export interface Standing {
  /** In normal form: a domain or an address. */
  readonly name: string;
  readonly state: 'on' | 'off';
  /** Whose word it is: said of this name or of its domain, in the store; or in the settings. */
  readonly by: 'name' | 'domain' | 'settings';
}

const keyOf = (name: string) => `training-requested/${name}`;

export class TrainingRequested {
  readonly keepForMs: number;
  readonly #book: AddressBook;
  readonly #settings: Pick<Settings, 'get' | 'put'>;
  readonly #preset: 'on' | 'off';
  readonly #on: ReadonlySet<string>;

  constructor(rules: TrainingRequestedRules, book: AddressBook, settings: Pick<Settings, 'get' | 'put'>) {
    this.#book = book;
    this.#settings = settings;
    this.#preset = rules.default;
    this.#on = new Set(rules.on.map((name) => (name.includes('@') ? book.owner(name) : book.domain(name))));
    this.keepForMs = rules.keepFor;
  }

  /** `owner` as an entry has it; '' is nobody's mail. */
  async wants(owner: string): Promise<boolean> {
    return (await this.#standing(owner)).state === 'on';
  }

  /** The domain or address of ours that somebody means; undefined for what is none. */
  nameOf(typed: string): string | undefined {
    const account = parseAccountName(typed, this.#book, '');
    return account && account.scope.level !== 'global' && account.person === undefined ? account.name : undefined;
  }

  /** `name` as nameOf answers it. */
  standing(name: string): Promise<Standing> {
    return this.#standing(name);
  }

  /** undefined: what the domain or the settings say holds again. */
  async put(name: string, state: 'on' | 'off' | undefined): Promise<Standing> {
    await this.#settings.put(keyOf(name), Buffer.from(state ?? ''));
    return this.#standing(name);
  }

  async #standing(name: string): Promise<Standing> {
    const settled = { name, state: this.#preset, by: 'settings' } as const;
    if (name === '') return settled;
    const said = await this.#said(name);
    if (said) return { name, state: said, by: 'name' };
    if (this.#on.has(name)) return { ...settled, state: 'on' };
    if (!name.includes('@')) return settled;
    const { domain } = splitAddress(name);
    const ofDomain = await this.#said(domain);
    if (ofDomain) return { name, state: ofDomain, by: 'domain' };
    return this.#on.has(domain) ? { ...settled, state: 'on' } : settled;
  }

  async #said(name: string): Promise<'on' | 'off' | undefined> {
    const value = await this.#settings.get(keyOf(name));
    const text = value === undefined ? '' : Buffer.from(value).toString('latin1');
    return text === 'on' || text === 'off' ? text : undefined;
  }
}
