/** The demo's next hop: takes everything over SMTP and writes it to files that a mail client opens. */
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { silent } from '#app/observe/log';
import { HandOverServer } from '#smtp/server';

export interface DemoSink {
  readonly port: number;
  close(): Promise<void>;
}

export async function openSink(folder: string): Promise<DemoSink> {
  await mkdir(folder, { recursive: true });
  let count = (await readdir(folder)).length;
  const server = new HandOverServer({
    hostname: 'sink.example',
    listen: [{ protocol: 'smtp', host: '127.0.0.1', port: 0, name: 'sink' }],
    maxMessageBytes: 2 ** 31,
    log: silent,
    receiver: {
      admit: () => undefined,
      async receive({ recipients }, source) {
        const name = `${String(++count).padStart(4, '0')}-${(recipients[0]?.address ?? '').replace(/[^\w@.+-]/g, '_')}.eml`;
        const file = join(folder, name);
        await pipeline(source, createWriteStream(`${file}.part`));
        await rename(`${file}.part`, file);
        return { code: 250, enhanced: '2.0.0', text: 'Ok' };
      },
    },
  });
  const [address] = await server.listen();
  return { port: address!.port, close: () => server.close(1000) };
}
