/** A milter that lets everything pass, adds and changes header fields, and has the MTA hold the message. */
import net from 'node:net';
import type { Test } from 'tap';

const packet = (command: string, ...parts: (string | Buffer)[]): Buffer => {
  const data = Buffer.concat([Buffer.from(command), ...parts.map((part) => Buffer.from(part as string))]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  return Buffer.concat([head, data]);
};

const number = (value: number) => {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
};

/** May add headers, change headers, quarantine. */
const actions = 0x01 | 0x10 | 0x20;

/** Answers its port. `headers` are added at the end, `changed` replaces the first field of that name. */
export async function startMilter(
  t: Test,
  { headers, changed = {} }: { headers: Record<string, string>; changed?: Record<string, string> },
): Promise<number> {
  const server = net.createServer((socket) => {
    let input = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      input = Buffer.concat([input, data]);
      while (input.length >= 5 && input.length >= 4 + input.readUInt32BE(0)) {
        const length = input.readUInt32BE(0);
        const command = String.fromCharCode(input[4]!);
        input = input.subarray(4 + length);
        if (command === 'O') socket.write(packet('O', number(6), number(actions), number(0)));
        else if (command === 'E') {
          for (const [name, value] of Object.entries(headers)) socket.write(packet('h', `${name}\0${value}\0`));
          for (const [name, value] of Object.entries(changed))
            socket.write(packet('m', number(1), `${name}\0${value}\0`));
          socket.write(packet('q', 'held by the milter\0'));
          socket.write(packet('c'));
        } else if (command === 'Q') socket.end();
        else if (command !== 'D' && command !== 'A') socket.write(packet('c'));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as net.AddressInfo).port;
}
