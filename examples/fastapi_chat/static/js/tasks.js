// Runs what a user asked for, and says what went wrong and what to do.

import { Refused } from "./api.js";
import { clearErrors, notify } from "./notices.js";

let signedOut = () => {};
export const onSignedOut = (task) => (signedOut = task);

// Returns whether it was done. With `canRepeat`, the notice of an error that may pass offers to try again.
export async function attempt(task, { canRepeat = false } = {}) {
  clearErrors();
  try {
    await task();
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) signedOut();
    else {
      const mayPass = error.status === 0 || error.status >= 500 || error.status === 429;
      const action = canRepeat && mayPass ? ["Try again", () => attempt(task, { canRepeat })] : undefined;
      notify(error.message, { isError: true, action });
    }
    return false;
  }
}

// The same for what nobody asked for: nothing is said. Returns whether it was done.
export async function quietly(task) {
  try {
    await task();
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) signedOut();
    return false;
  }
}
