int cb_x(void){return 1;}
