// Runs what a user asked for, and says what went wrong and what to do.

import { Refused } from "./api.js";
import { clearErrors, notify } from "./notices.js";

let signedOut = () => {};
export const onSignedOut = (task) => (signedOut = task);

// Returns whether it was done.
export async function attempt(task) {
  clearErrors();
  try {
    await task();
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) signedOut();
    else notify(error.message, { isError: true });
    return false;
  }
}

// The same for what nobody asked for: nothing is said, since it comes again by itself.
export async function quietly(task) {
  try {
    await task();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) signedOut();
  }
}
