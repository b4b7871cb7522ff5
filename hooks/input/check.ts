/** What hooks and methods check their arguments with, from one place. */

export {
  type Argument,
  type Arguments,
  check,
  checkedMethods,
  type Methods,
  needed,
  optional,
  options,
  type Spec,
  signature,
  signatures,
} from '../../weights/checks/options.js';
export * as is from './kinds.js';
