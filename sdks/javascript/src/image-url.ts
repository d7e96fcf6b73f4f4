/** Addresses of resized images, served by Tako under `/_tako/image`. Pure and browser-safe. */

export type ImageFormat = "avif" | "webp";
export type ImageSrcSetLayout = "constrained" | "full-width" | "fixed";

export interface ImageUrlOptions {
  /** One of the allowed widths in pixels; default 1200. */
  width?: number;
  /** Default 75. */
  quality?: number;
  /** Default: the best that the browser's `Accept` allows. */
  format?: ImageFormat;
}

export interface ImageSrcSetOptions extends ImageUrlOptions {
  /** The width in pixels at which the image is laid out. */
  width: number;
  layout?: ImageSrcSetLayout;
  /** Candidates; default the allowed widths up to twice `width`, or up to `width` unless constrained. */
  widths?: readonly number[];
  sizes?: string;
}

export interface ImageSrcSet {
  readonly src: string;
  readonly srcSet: string;
  readonly sizes: string;
}

// The optimizer's defaults on the server; other widths answer 400 there.
const ALLOWED_WIDTHS: readonly number[] = [320, 640, 960, 1200, 1920];
const DEFAULT_WIDTH = 1200;
const DEFAULT_QUALITY = 75;

/** Address of `source` resized to `width`. Throws a TypeError for a width the server would refuse. */
export function imageUrl(source: string, options: ImageUrlOptions = {}): string {
  const { width = DEFAULT_WIDTH, quality = DEFAULT_QUALITY, format } = options;
  if (!ALLOWED_WIDTHS.includes(width)) {
    throw new TypeError(`image width ${width} is not allowed; use one of ${ALLOWED_WIDTHS.join(", ")}`);
  }
  const query = new URLSearchParams({ src: source, w: String(width) });
  if (quality !== DEFAULT_QUALITY) query.set("q", String(quality));
  if (format !== undefined) query.set("f", format);
  return `/_tako/image?${query}`;
}

/** Attributes for a responsive `<img>`. */
export function imageSrcSet(source: string, options: ImageSrcSetOptions): ImageSrcSet {
  const { width, layout = "constrained", sizes = defaultSizes(layout, width), widths, ...rest } = options;
  const candidates = [...new Set(widths ?? defaultWidths(layout, width))].sort((a, b) => a - b);
  const largest = candidates.at(-1);
  if (largest === undefined) throw new TypeError(`no allowed image width fits a layout width of ${width}`);
  const address = (candidate: number) => imageUrl(source, { ...rest, width: candidate });
  return {
    src: address(candidates.find((candidate) => candidate >= width) ?? largest),
    srcSet: candidates.map((candidate) => `${address(candidate)} ${candidate}w`).join(", "),
    sizes,
  };
}

function defaultWidths(layout: ImageSrcSetLayout, width: number): readonly number[] {
  const limit = layout === "constrained" ? 2 * width : width;
  return ALLOWED_WIDTHS.filter((candidate) => candidate <= limit);
}

function defaultSizes(layout: ImageSrcSetLayout, width: number): string {
  if (layout === "full-width") return "100vw";
  return layout === "fixed" ? `${width}px` : `(min-width: ${width}px) ${width}px, 100vw`;
}
