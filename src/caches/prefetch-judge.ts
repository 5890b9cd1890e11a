/**
 * Whether fetching ahead pays: by windows of so many predictions. Where fewer than half of a window turn out to be of use,
 * no more are fetched; they are still made, and judged by what would have been of use, so that nothing is wasted on
 * finding out when it pays again. That takes more than it takes to go on, so what is at the border does not go to and fro.
 *
 * That a prediction is of use shows at once, and that it is not only when its time is over: so the predictions of a window
 * are chosen when they are made, and those made after them wait for the next. A window ends as soon as it is decided.
 */
const WINDOW = 64;
const STAY_ON = WINDOW / 2;
const TURN_ON = (WINDOW * 3) / 4;
const WINDOWS = 255;

export class PrefetchJudge {
  /** From 1. */
  #window = 1;
  #watched = 0;
  #useful = 0;
  #useless = 0;
  isOn = true;
  /** How often it was. */
  switchedOff = 0;

  /** A prediction is made: the window that it belongs to, 0 when it has no room. */
  watch(): number {
    if (this.#watched === WINDOW) return 0;
    this.#watched++;
    return this.#window;
  }

  /** It has turned out; `undefined`: in neither way. @returns whether it is on, or off, since. */
  settle(window: number, isUseful: boolean | undefined): boolean {
    if (window !== this.#window) return false;
    if (isUseful === undefined) this.#watched--;
    else if (isUseful) this.#useful++;
    else this.#useless++;
    const wanted = this.isOn ? STAY_ON : TURN_ON;
    if (this.#useful >= wanted) return this.#decide(true);
    return this.#useless > WINDOW - wanted && this.#decide(false);
  }

  #decide(isOn: boolean): boolean {
    this.#window = (this.#window % WINDOWS) + 1;
    this.#watched = 0;
    this.#useful = 0;
    this.#useless = 0;
    if (isOn === this.isOn) return false;
    this.isOn = isOn;
    if (!isOn) this.switchedOff++;
    return true;
  }
}
