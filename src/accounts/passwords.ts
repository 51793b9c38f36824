/**
 * Passwords as hashes: argon2id, computed on libuv's threads, never on the event loop. The parameters stand here only; a
 * hash carries its own, so raising them touches later passwords alone.
 */
import { argon2id, hash, verify } from 'argon2';

/** OWASP's first recommendation for argon2id: 19 MiB, two passes. About 25 ms of one core. */
const parameters = { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

export const minPasswordLength = 8;

export const hashPassword = (password: string): Promise<string> => hash(password.normalize('NFC'), parameters);

/** False also for a hash that nobody can read. */
export async function verifyPassword(passwordHash: string, password: string): Promise<boolean> {
  try {
    return await verify(passwordHash, password.normalize('NFC'));
  } catch {
    return false;
  }
}
