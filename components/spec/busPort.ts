/** Servers have the bus this far above the client port unless told otherwise; people expect it there. */
export const BUS_PORT_OFFSET = 10_000;
