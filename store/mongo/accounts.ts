/** Accounts, what they have to be told, and small named values. */
import { Binary } from 'mongodb';
import { Conflict, NotFound } from '../errors.ts';
import type { Account, Scope, Uid } from '../model.ts';
import type { AccountDoc } from './documents.ts';
import { octetsOf } from './messages.ts';
import { type Snapshot, scopeKey, scopeOf, type Tx } from './tx.ts';

function accountOf(doc: AccountDoc): Account {
  return {
    name: doc._id,
    scope: scopeOf(doc.scope),
    ...(doc.person === undefined ? {} : { person: doc.person }),
    createdAt: new Date(doc.createdAt),
    passwordChangedAt: new Date(doc.passwordChangedAt),
  };
}

export interface NewAccount {
  readonly name: string;
  readonly scope: Scope;
  readonly person?: string;
  readonly passwordHash: string;
}

export async function addAccount(tx: Tx, { name, scope, person, passwordHash }: NewAccount): Promise<void> {
  if (await tx.findOne('accounts', { _id: name })) throw new Conflict(`There is an account ${name} already`);
  const document: AccountDoc = {
    _id: name,
    scope: scopeKey(scope),
    ...(person === undefined ? {} : { person }),
    passwordHash,
    createdAt: tx.now,
    passwordChangedAt: tx.now,
  };
  tx.write('accounts', { insertOne: { document } });
}

export async function setPassword(tx: Tx, name: string, passwordHash: string): Promise<void> {
  if (!(await tx.findOne('accounts', { _id: name }))) throw new NotFound(`There is no account ${name}`);
  const update = { $set: { passwordHash, passwordChangedAt: tx.now } };
  tx.write('accounts', { updateOne: { filter: { _id: name }, update } });
}

export async function removeAccount(tx: Tx, name: string): Promise<boolean> {
  if (!(await tx.findOne('accounts', { _id: name }))) return false;
  tx.write('accounts', { deleteOne: { filter: { _id: name } } });
  return true;
}

export async function getAccount(
  snapshot: Snapshot,
  name: string,
): Promise<(Account & { readonly passwordHash: string }) | undefined> {
  const found = await snapshot.findOne('accounts', { _id: name });
  return found && { ...accountOf(found), passwordHash: found.passwordHash };
}

export async function listAccounts(snapshot: Snapshot): Promise<readonly Account[]> {
  return (await snapshot.find('accounts', {}, { sort: { _id: 1 } })).map(accountOf);
}

export async function hasNotices(snapshot: Snapshot, account: string): Promise<boolean> {
  return (await snapshot.findOne('notices', { account }, { projection: { _id: 1 } })) !== undefined;
}

export async function takeNotices(tx: Tx, account: string): Promise<readonly string[]> {
  const found = await tx.find('notices', { account }, { sort: { _id: 1 } });
  if (found.length > 0) tx.write('notices', { deleteMany: { filter: { account } } });
  return found.map(({ text }) => text);
}

export async function getSetting(snapshot: Snapshot, name: string): Promise<Uint8Array | undefined> {
  const found = await snapshot.findOne('settings', { _id: name });
  return found && octetsOf(found.value);
}

export function putSetting(tx: Tx, name: string, bytes: Uint8Array): void {
  const replacement = { value: new Binary(bytes) };
  tx.write('settings', { replaceOne: { filter: { _id: name }, replacement, upsert: true } });
}

export async function putSettingIfAbsent(tx: Tx, name: string, bytes: Uint8Array): Promise<Uint8Array> {
  const found = await getSetting(tx, name);
  if (found) return found;
  putSetting(tx, name, bytes);
  return bytes;
}

export async function helpUid(tx: Tx, account: string, textHash: string): Promise<Uid> {
  const known = await tx.findOne('helpTexts', { _id: account });
  if (known?.textHash === textHash) return known.uid as Uid;
  const uid = tx.nextUid();
  tx.write('helpTexts', { replaceOne: { filter: { _id: account }, replacement: { textHash, uid }, upsert: true } });
  return uid;
}
