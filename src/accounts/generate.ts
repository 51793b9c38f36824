/** Passwords that people can read aloud and type: no two characters that look alike. */
import { randomInt } from 'node:crypto';

const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789'; // no i l o 0 1

/** Like `h7kfq-2mwxr-9tnce-vd4gp`: 99 bits. */
export function generatePassword(): string {
  const group = () => Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('');
  return Array.from({ length: 4 }, group).join('-');
}
