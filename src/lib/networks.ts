/** Addresses as they are compared: one spelling for each, and lists of addresses and ranges. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { Lru } from './lru.ts';

/** The mapped form in which a listener for both families reports IPv4, as URL writes it: two groups of hexadecimal digits. */
const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/**
 * The one spelling of an address: IPv6 as RFC 5952 has it, IPv4 in dots, also where it came mapped into IPv6 (RFC 4291
 * §2.5.5.2), so that limits and delays count one client once. What is no address comes back as it was.
 */
export function plainAddress(address: string): string {
  if (!isIPv6(address)) return address;
  const bare = address.split('%', 1)[0] as string;
  const written = new URL(`http://[${bare}]/`).hostname.slice(1, -1);
  const match = mapped.exec(written);
  if (!match) return written;
  const [high, low] = [match[1], match[2]].map((group) => Number.parseInt(group as string, 16)) as [number, number];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Addresses that need not be looked up again. */
const maxKnown = 1000;

/** Answers whether an address is in one of these: `10.0.0.0/8`, `::1/128` or single addresses. @throws Error  one is neither */
export function networks(list: readonly string[]): (address: string) => boolean {
  const found = new BlockList();
  for (const network of list) {
    const [address = '', bits] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) found.addAddress(address, family);
    else found.addSubnet(address, Number(bits), family);
  }
  const isIn = (address: string): boolean => {
    const plain = plainAddress(address);
    if (isIPv4(plain)) return found.check(plain, 'ipv4');
    return isIPv6(plain) && found.check(plain, 'ipv6');
  };
  // The same few clients come with message after message.
  const known = new Lru<boolean>(maxKnown);
  return (address) => {
    let answer = known.get(address);
    if (answer === undefined) {
      answer = isIn(address);
      known.set(address, answer);
    }
    return answer;
  };
}
