int cb_x(void);
