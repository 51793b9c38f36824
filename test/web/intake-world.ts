/** A whole server to which a test hands mail over by HTTP. */
import type { Test } from 'tap';
import type { EntryId } from '#store/model';
import { startApp, type TestApp } from '../support/app.ts';
import { type Asked, ask } from './request.ts';

export const token = 'a-token-for-tests-1234';
export const bearer = ['Authorization', `Bearer ${token}`] as const;
export const raw = ['Content-Type', 'message/rfc822'] as const;
export const toAda = ['X-Lazaret-Rcpt', 'ada@harbour.example'] as const;

/** `intake` goes on top of listeners on loopback. */
export async function world(t: Test, intake: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  const server = await startApp(t, {
    intake: {
      lmtp: ['127.0.0.1:0'],
      smtp: [],
      http: ['127.0.0.1:0'],
      tokens: [{ name: 'tests', token }],
      handOverDomains: ['quarantine.example'],
      ...intake,
    },
    ...settings,
  });
  const post = (asked: Omit<Asked, 'port'>) =>
    ask({ port: server.addresses.intakeHttp[0]!.port, ...asked, fields: [bearer, ...(asked.fields ?? [])] });
  /** What is known about the entry that an answer names. */
  const entryOf = async (text: string, at = 0) => {
    const { entryId } = (JSON.parse(text) as { entryId: number }[])[at]!;
    const history = await server.app.store.entries.history(entryId as EntryId);
    return { ...history!.entry, message: history!.message };
  };
  return { server, post, entryOf };
}

export async function bytesOf(server: TestApp, messageId: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of server.app.store.messages.read(messageId as never)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
