// Lets node run the TypeScript sources as they are, in the main thread and in every worker.
import { register } from 'tsx/esm/api';

register();
