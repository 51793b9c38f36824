import { login } from './login.ts';
import type { Mechanism } from './mechanism.ts';
import { plain } from './plain.ts';

export const mechanisms: readonly Mechanism[] = [plain, login];
