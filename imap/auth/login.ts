/** SASL LOGIN, never standardised (draft-murchison-sasl-login): asks for the user, then for the password. Outlook uses it. */
import type { Mechanism } from './mechanism.ts';

export const login: Mechanism = {
  name: 'LOGIN',
  async converse(initial, ask) {
    const user = initial ?? (await ask('Username:'));
    const password = await ask('Password:');
    return { user: user.toString('utf8'), password: password.toString('utf8') };
  },
};
