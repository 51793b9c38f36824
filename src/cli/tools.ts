/** What verbs share that work on a store: opening it and closing it, folders by the names people use, owners as scopes. */
import type { Config } from '#app/config/schema';
import type { Scope } from '#store/model';
import { type Call, UsageError } from './verb.ts';

type Opened = Awaited<ReturnType<typeof import('#app/assemble')['openTools']>>;
export interface Tools extends Opened {
  readonly config: Config;
}

/** Opens the store, which may be in use by a server, and closes it whatever happens. */
export async function withTools(call: Call, use: (tools: Tools) => Promise<number>): Promise<number> {
  const config = await call.config();
  const { openTools } = await import('#app/assemble');
  const tools = await openTools(config);
  try {
    return await use({ ...tools, config });
  } finally {
    await tools.close();
  }
}

export const everything: Scope = { level: 'global' };

/** An owner as typed: an address, a domain, or `global` for everything. */
export async function scopeOf(owner: string | undefined, { book, config }: Tools): Promise<Scope> {
  if (owner === undefined) return everything;
  const { parseAccountName } = await import('#app/accounts/names');
  const account = parseAccountName(owner, book, config.accounts.global);
  if (!account) throw new UsageError(`--owner: "${owner}" is neither an address nor a domain of ours`);
  return account.scope;
}
