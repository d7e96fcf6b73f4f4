/** The one error type that the runtime throws at an app. */

export type TakoErrorCode = "TAKO_UNAVAILABLE" | "TAKO_TIMEOUT" | "TAKO_PROTOCOL" | "TAKO_RPC_ERROR";

export class TakoError extends Error {
  override name = "TakoError";
  readonly code: TakoErrorCode;

  constructor(code: TakoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
