/** `lazaret account add|list|passwd|remove`: who may log in. Works before the first start, and beside a running server. */

import type { AccountName } from '#app/accounts/names';
import { cleanLine, columns } from '#app/lib/terminal';
import type { Store } from '#store/port';
import { newPassword, passwordOptions } from './password.ts';
import { withTools } from './tools.ts';
import { asJson, type Call, Failure, type Verb } from './verb.ts';

const nameArgument = {
  name: 'name',
  help: '`global`, a domain or an address; `ann*global`, `ann*harbour.example` where several share one',
} as const;

/** Runs with the store and the account's name in its normal form. */
async function withAccount(
  call: Call,
  use: (store: Store, account: AccountName, login: string) => Promise<number>,
): Promise<number> {
  const { parseAccountName } = await import('#app/accounts/names');
  const typed = call.arguments[0] as string;
  return withTools(call, async ({ store, book, config }) => {
    const account = parseAccountName(typed, book, config.accounts.global);
    if (account) return use(store, account, loginOf(account.name, config.accounts.global));
    throw new Failure(
      `${cleanLine(typed)} can be no account: it is neither \`${config.accounts.global}\`, nor a domain` +
        `${book.hasDomains ? ' that stands under `domains`' : ''}, nor an address in one`,
    );
  });
}

/** What people type: the store knows the account that sees everything as `global`, whatever it is called here. */
const loginOf = (name: string, globalName: string): string =>
  cleanLine(name.replace(/^(.*\*)?global$/, (_, person = '') => `${person}${globalName}`));

const sees = ({ scope }: AccountName): string =>
  scope.level === 'global'
    ? 'sees everything'
    : scope.level === 'domain'
      ? `sees what belongs to ${scope.domain}`
      : `sees what belongs to ${scope.address}`;

function told(call: Call, account: AccountName, login: string, what: string, password?: string): void {
  if (call.json) call.print(asJson({ name: login, done: what, ...(password ? { password } : {}) }));
  else {
    call.print(`${what} ${login}, who ${sees(account)}\n`);
    if (password) call.print(`password ${password}\n`);
  }
}

export const accountAdd: Verb = {
  name: 'account add',
  summary: 'add an account',
  about: 'Its name says what it sees. An alias domain or address is the account it stands for.',
  arguments: [nameArgument],
  options: passwordOptions,
  examples: [
    ['lazaret account add global --generate', 'the account that sees everything, with a password made up'],
    ['lazaret account add harbour.example', 'one that sees a domain; asks for its password'],
    ['pass lazaret/ada | lazaret account add ada@harbour.example --password-stdin', 'with a password from elsewhere'],
  ],
  run: (call) =>
    withAccount(call, async (store, account, login) => {
      const exists = () => new Failure(`${login} is there already; \`lazaret account passwd\` changes its password`);
      if (await store.accounts.get(account.name)) throw exists();
      const { password, generated } = await newPassword(call);
      const { hashPassword } = await import('#app/accounts/passwords');
      const { name, scope, person } = account;
      const passwordHash = await hashPassword(password);
      try {
        await store.accounts.add({ name, scope, ...(person ? { person } : {}), passwordHash });
      } catch (error) {
        if (error instanceof Error && error.name === 'Conflict') throw exists();
        throw error;
      }
      told(call, account, login, 'added', generated ? password : undefined);
      return 0;
    }),
};

export const accountPasswd: Verb = {
  name: 'account passwd',
  summary: 'change the password of an account',
  about: 'Later logins need the new one; sessions that are open stay so.',
  arguments: [nameArgument],
  options: passwordOptions,
  examples: [
    ['lazaret account passwd ada@harbour.example', 'asks for the new one, twice'],
    ['lazaret account passwd global --generate --json', 'makes one up, for a program'],
  ],
  run: (call) =>
    withAccount(call, async (store, account, login) => {
      if (!(await store.accounts.get(account.name))) throw new Failure(`There is no account ${login}`);
      const { password, generated } = await newPassword(call);
      const { hashPassword } = await import('#app/accounts/passwords');
      await store.accounts.setPassword(account.name, await hashPassword(password));
      told(call, account, login, 'changed the password of', generated ? password : undefined);
      return 0;
    }),
};

export const accountRemove: Verb = {
  name: 'account remove',
  summary: 'remove an account',
  about: 'Nobody logs in by that name any more. The mail it saw stays.',
  arguments: [nameArgument],
  examples: [['lazaret account remove ann*global', 'ann is no operator any more']],
  run: (call) =>
    withTools(call, async ({ store, book, config }) => {
      const typed = call.arguments[0] as string;
      const { parseAccountName } = await import('#app/accounts/names');
      // Also an account whose domain is not ours any more: by its stored name.
      const account = parseAccountName(typed, book, config.accounts.global);
      const name = account?.name ?? typed.toLowerCase();
      const login = loginOf(name, config.accounts.global);
      if (!(await store.accounts.remove(name))) throw new Failure(`There is no account ${login}`);
      if (call.json) call.print(asJson({ name: login, done: 'removed' }));
      else call.print(`removed ${login}\n`);
      return 0;
    }),
};

export const accountList: Verb = {
  name: 'account list',
  summary: 'list the accounts',
  examples: [
    ['lazaret account list', 'who may log in, and since when'],
    ['lazaret account list --json', 'for programs'],
  ],
  run: (call) =>
    withTools(call, async ({ store, config }) => {
      const accounts = (await store.accounts.list()).map((account) => ({
        ...account,
        name: loginOf(account.name, config.accounts.global),
      }));
      if (call.json) call.print(asJson(accounts));
      else if (accounts.length === 0) call.note('There are no accounts yet: `lazaret account add NAME` adds one');
      else
        call.print(
          columns([
            ['NAME', 'SEES', 'ADDED', 'PASSWORD OF'],
            ...accounts.map(({ name, scope, createdAt, passwordChangedAt }) => [
              name,
              scope.level,
              createdAt.toISOString().slice(0, 10),
              passwordChangedAt.toISOString().slice(0, 10),
            ]),
          ]),
        );
      return 0;
    }),
};
