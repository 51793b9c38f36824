/**
 * Whether an address is one of the public Internet. What is asked to connect by a name that somebody else answers for must
 * not be led into our own network, to this machine, or to a cloud's metadata (INTEGRATIONS §8.2 row 34).
 */
import { isIP } from 'node:net';
import { networks } from './networks.ts';

/** IANA's special-purpose registries (RFC 6890 and later), and forms of IPv6 that carry an address of IPv4. */
const special = networks([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]);

/** False also for what is no address at all. */
export const isPublic = (address: string): boolean => isIP(address) !== 0 && !special(address);
