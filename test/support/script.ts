/**
 * Plays .imap scripts: transcripts of one or several clients.
 *
 *     # comment
 *     given Caught holds 11 12 13 \Seen     messages with these UIDs (and these flags) in the folder
 *     given 1 2 selected Caught             these clients are logged in and have selected it
 *     given 1 logged in
 *     given arrival in Caught               also between the lines: another process does something
 *     given Caught loses 12 13
 *     given Caught flags 12 \Flagged $x
 *     1 C: a1 NOOP                          what client 1 sends; \r\n inside for more than one line, no CRLF behind a final \
 *     1 S: * $n EXISTS                      what it must be told next; $name binds, later stands for the same; $$ is a dollar
 *     1 S: ...                              untagged lines that are not listed may pass, up to the next listed one
 */
import { readFile } from 'node:fs/promises';
import { type FakeBackend, mail } from './fake-backend.ts';
import { ImapClient } from './imap-client.ts';

export async function play(file: string, backend: FakeBackend, port: number): Promise<void> {
  const script = new Script(backend, port);
  const lines = (await readFile(file, 'utf8')).split('\n');
  try {
    for (const [index, line] of lines.entries()) {
      try {
        await script.line(line);
      } catch (error) {
        throw new Error(`${file}:${index + 1}: ${line}\n${(error as Error).message}`, { cause: error });
      }
    }
    script.end();
  } finally {
    script.abandon();
  }
}

class Script {
  readonly #backend: FakeBackend;
  readonly #port: number;
  readonly #clients = new Map<string, ImapClient>();
  readonly #loose = new Set<string>();
  readonly #bound = new Map<string, string>();

  constructor(backend: FakeBackend, port: number) {
    this.#backend = backend;
    this.#port = port;
  }

  async line(line: string): Promise<void> {
    const text = line.replace(/\r$/, '');
    if (text.trim() === '' || text.startsWith('#')) return;
    const given = /^given +(.*)$/.exec(text);
    if (given) {
      await this.#given(this.#filled(given[1]!));
      return;
    }
    const [, name, who, what] = /^([0-9]+) ([CS]): ?(.*)$/.exec(text) ?? [];
    if (!name || what === undefined) throw new Error('This line is not understood');
    const client = await this.#client(name);
    if (who === 'C') {
      const bytes = this.#filled(what).replaceAll('\\r\\n', '\r\n');
      client.write(Buffer.from(bytes.endsWith('\\') ? bytes.slice(0, -1) : `${bytes}\r\n`));
    } else if (what === '...') this.#loose.add(name);
    else await this.#expect(client, name, what.replaceAll('\\r\\n', '\r\n'));
  }

  end(): void {
    for (const client of this.#clients.values()) client.end();
  }

  abandon(): void {
    for (const client of this.#clients.values()) client.abandon();
  }

  async #client(name: string): Promise<ImapClient> {
    const known = this.#clients.get(name);
    if (known) return known;
    const client = await ImapClient.connect(undefined, this.#port);
    this.#clients.set(name, client);
    return client;
  }

  async #given(what: string): Promise<void> {
    const words = what.split(/ +/);
    const verb = words.findIndex((word) => ['holds', 'loses', 'flags', 'selected', 'logged', 'arrival'].includes(word));
    const before = words.slice(0, verb).join(' ');
    const after = words.slice(verb + 1);
    const uids = after.filter((word) => /^[0-9]+$/.test(word)).map(Number);
    const flags = after.filter((word) => /^[\\$]/.test(word));
    switch (words[verb]) {
      case 'holds':
        for (const uid of uids) this.#backend.put(before, mail(`Number ${uid}`), { uid, flags });
        return;
      case 'loses':
        this.#backend.remove(before, uids);
        return;
      case 'flags':
        this.#backend.setFlags(before, uids[0]!, flags);
        return;
      case 'arrival': {
        this.#backend.put(after.slice(1).join(' '), mail('Just in'));
        return;
      }
      case 'logged':
      case 'selected':
        for (const name of words.slice(0, verb)) {
          const client = await this.#client(name);
          await client.ok('LOGIN bob secret');
          if (words[verb] === 'selected') await client.ok(`SELECT "${after.join(' ')}"`);
        }
        return;
      default:
        throw new Error('This is not a given we know');
    }
  }

  async #expect(client: ImapClient, name: string, pattern: string): Promise<void> {
    for (;;) {
      const response = await client.next();
      if (this.#fits(response, pattern)) {
        this.#loose.delete(name);
        return;
      }
      if (!this.#loose.has(name) || !response.startsWith('* '))
        throw new Error(`expected ${JSON.stringify(this.#filled(pattern))}\nbut got  ${JSON.stringify(response)}`);
    }
  }

  #fits(response: string, pattern: string): boolean {
    const names: string[] = [];
    const source = pattern.replace(/\$\$|\$([a-z]+)|[^$a-zA-Z0-9 ]/g, (token, name: string | undefined) => {
      if (token === '$$') return '\\$';
      if (name === undefined) return `\\${token}`;
      const bound = this.#bound.get(name);
      if (name !== 'text' && bound !== undefined) return escaped(bound);
      names.push(name);
      return name === 'text' ? '[^\\r\\n]*' : '([^ \\])]+)';
    });
    const match = new RegExp(`^${source}$`).exec(response);
    if (!match) return false;
    for (const [i, bound] of names.filter((name) => name !== 'text').entries()) this.#bound.set(bound, match[i + 1]!);
    return true;
  }

  #filled(text: string): string {
    return text.replace(/\$\$|\$([a-z]+)/g, (token, name: string | undefined) =>
      name === undefined ? '$' : (this.#bound.get(name) ?? token),
    );
  }
}

function escaped(text: string): string {
  return text.replace(/[^a-zA-Z0-9]/g, '\\$&');
}
