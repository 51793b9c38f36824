/** Requests as programs send them: any field any number of times, bodies in pieces. */
import http from 'node:http';
import https from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export interface Asked {
  readonly port: number;
  readonly path?: string;
  readonly method?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer | AsyncIterable<Uint8Array>;
  readonly tls?: { readonly ca?: string; readonly rejectUnauthorized?: boolean };
}

/** Rejects when there is no answer. */
export function ask({ port, path = '/intake', method = 'POST', fields = [], body = '', tls }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers: fields.flat(), agent: false } as const;
    const answer = (response: http.IncomingMessage) => {
      const chunks: Uint8Array[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    };
    const request = tls ? https.request({ ...options, ...tls }, answer) : http.request(options, answer);
    request.on('error', reject);
    if (typeof body === 'string' || Buffer.isBuffer(body)) request.end(body);
    else
      void (async () => {
        for await (const chunk of body)
          if (!request.write(chunk)) await new Promise((drained) => request.once('drain', drained));
        request.end();
      })();
  });
}

/** A form of these parts. */
export function form(parts: readonly (readonly [header: string, body: string | Buffer])[], boundary = 'x0x0'): Buffer {
  return Buffer.concat([
    ...parts.flatMap(([header, body]) => [
      Buffer.from(`--${boundary}\r\n${header}\r\n\r\n`),
      Buffer.from(body),
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
}
