/** Scopes in Node follow the asynchronous context. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { type ScopeContext, setScopeContext, UserScope } from './user-scope.js';

const storage = new AsyncLocalStorage<UserScope>();

const context: ScopeContext = {
  current: () => storage.getStore() ?? null,
  async enter(f) {
    const outer = storage.getStore() ?? null;
    const own = new UserScope(outer);
    try {
      const result = await storage.run(own, async () => f());
      own.handOver(result, outer?.open ? outer : null);
      return result;
    } finally {
      own.close();
    }
  },
};

/** Makes scopes follow Node's asynchronous context. */
export const registerNodeScopes = (): void => void setScopeContext(context);
