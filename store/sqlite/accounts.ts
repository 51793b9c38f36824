/** Accounts, what they have to be told, and small named values. */
import { Conflict, NotFound } from '../errors.ts';
import type { Account, Scope, Uid } from '../model.ts';
import { type Snapshot, scopeKey, scopeOf, type Tx } from './tx.ts';

interface AccountRow {
  readonly name: string;
  readonly scope: string;
  readonly person: string | null;
  readonly password_hash: string;
  readonly created_at: number;
  readonly password_changed_at: number;
}

function rowToAccount(row: AccountRow): Account {
  return {
    name: row.name,
    scope: scopeOf(row.scope),
    ...(row.person === null ? {} : { person: row.person }),
    createdAt: new Date(row.created_at),
    passwordChangedAt: new Date(row.password_changed_at),
  };
}

export interface NewAccount {
  readonly name: string;
  readonly scope: Scope;
  readonly person?: string;
  readonly passwordHash: string;
}

export function addAccount(tx: Tx, account: NewAccount): void {
  const added = tx
    .sql(
      `INSERT INTO accounts (name, scope, person, password_hash, created_at, password_changed_at)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
    )
    .run(account.name, scopeKey(account.scope), account.person ?? null, account.passwordHash, tx.now, tx.now);
  if (added.changes === 0) throw new Conflict(`There is an account ${account.name} already`);
}

export function setPassword(tx: Tx, name: string, passwordHash: string): void {
  const set = tx
    .sql('UPDATE accounts SET password_hash = ?, password_changed_at = ? WHERE name = ?')
    .run(passwordHash, tx.now, name);
  if (set.changes === 0) throw new NotFound(`There is no account ${name}`);
}

export function removeAccount(tx: Tx, name: string): boolean {
  return tx.sql('DELETE FROM accounts WHERE name = ?').run(name).changes > 0;
}

export function getAccount(
  snapshot: Snapshot,
  name: string,
): (Account & { readonly passwordHash: string }) | undefined {
  const row: AccountRow | undefined = snapshot.sql('SELECT * FROM accounts WHERE name = ?').get(name);
  return row && { ...rowToAccount(row), passwordHash: row.password_hash };
}

export function listAccounts(snapshot: Snapshot): readonly Account[] {
  const rows: AccountRow[] = snapshot.sql('SELECT * FROM accounts ORDER BY name').all();
  return rows.map(rowToAccount);
}

export function hasNotices(snapshot: Snapshot, account: string): boolean {
  return snapshot.sql('SELECT 1 FROM notices WHERE account = ? LIMIT 1').get(account) !== undefined;
}

export function takeNotices(tx: Tx, account: string): readonly string[] {
  const rows: { text: string }[] = tx.sql('SELECT text FROM notices WHERE account = ? ORDER BY id').all(account);
  if (rows.length > 0) tx.sql('DELETE FROM notices WHERE account = ?').run(account);
  return rows.map((row) => row.text);
}

export function getSetting(snapshot: Snapshot, name: string): Uint8Array | undefined {
  const row: { value: Uint8Array } | undefined = snapshot.sql('SELECT value FROM settings WHERE name = ?').get(name);
  return row?.value;
}

export function putSetting(tx: Tx, name: string, value: Uint8Array): void {
  tx.sql(
    'INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  ).run(name, value);
}

export function putSettingIfAbsent(tx: Tx, name: string, value: Uint8Array): Uint8Array {
  tx.sql('INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING').run(name, value);
  return tx.sql('SELECT value FROM settings WHERE name = ?').get(name).value;
}

export function helpUid(tx: Tx, account: string, textHash: string): Uid {
  const known: { text_hash: string; uid: Uid } | undefined = tx
    .sql('SELECT text_hash, uid FROM help_texts WHERE account = ?')
    .get(account);
  if (known?.text_hash === textHash) return known.uid;
  const uid = tx.nextUid();
  tx.sql(
    `INSERT INTO help_texts (account, text_hash, uid) VALUES (?, ?, ?)
      ON CONFLICT (account) DO UPDATE SET text_hash = excluded.text_hash, uid = excluded.uid`,
  ).run(account, textHash, uid);
  return uid;
}
