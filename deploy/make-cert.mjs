// Makes a self-signed certificate for the containers, once: cert.pem and key.pem in a folder. What is there stays, so that
// people who told their mail client to trust it are not asked again, and all nodes show the same one.
//
//     node make-cert.mjs FOLDER HOSTNAME
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from 'selfsigned';

const [folder, hostname] = process.argv.slice(2);
if (!folder || !hostname) throw new Error('write: node make-cert.mjs FOLDER HOSTNAME');
const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
if (!existsSync(cert) || !existsSync(key)) {
  const dayMs = 86_400_000;
  const names = [...new Set([hostname, 'localhost'])];
  const pair = await generate([{ name: 'commonName', value: hostname.slice(0, 64) }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - dayMs), // clocks of clients are not ours
    notAfterDate: new Date(Date.now() + 3650 * dayMs),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [...names.map((value) => ({ type: 2, value })), { type: 7, ip: '127.0.0.1' }],
      },
    ],
  });
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of [
    [key, pair.private],
    [cert, pair.cert],
  ]) {
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}
