/** SASL PLAIN, RFC 4616: [authzid] NUL authcid NUL password, in UTF-8. */
import { Bad } from '../errors.ts';
import type { Mechanism } from './mechanism.ts';

export const plain: Mechanism = {
  name: 'PLAIN',
  async converse(initial, ask) {
    const message = initial ?? (await ask(''));
    const parts = message.toString('utf8').split('\0');
    const [authzid, user, password] = parts;
    if (parts.length !== 3 || !user || password === undefined) throw new Bad('PLAIN wants three parts, divided by NUL');
    return authzid && authzid !== user ? { user, password, authzid } : { user, password };
  },
};
